"""Checkpoints in several files, safetensors or torch.save, that an index lists."""

from __future__ import annotations

from torch import Tensor

from ...artifacts.sharded import weight_map
from ...artifacts.unpickling import read_torch_file
from ...config.convert import ConvertConfig
from ...errors import InputError
from ..kinds import Identified
from ..source import Source
from ..weights import find_weights
from .named_model import source_of_weights
from .safetensors import load_safetensors


def read_sharded(found: Identified, config: ConvertConfig) -> Source:
    """Reads all parts, for the model named by `--model`.

    Raises:
        InputError: a part is damaged, or lacks what the index says it has.
    """
    state: dict[str, Tensor] = {}
    for part in found.parts:
        held = _read_part(part)
        wanted = [name for name, file in weight_map(found.path).items() if file == part.path.name]
        missing = [name for name in wanted if name not in held]
        if missing:
            raise InputError(f"{part.path} lacks {missing[0]}, which {found.path} says it has")
        state |= {name: held[name] for name in wanted}
    weights = find_weights(state, str(found.path), config.weights_key)
    return source_of_weights(weights, config, "sharded checkpoint", found.path)


def _read_part(part: Identified) -> dict[str, Tensor]:
    if part.kind == "safetensors":
        return load_safetensors(part.path)
    if part.kind != "saved by torch.save":
        raise InputError(f"{part.path} is no part of a checkpoint; it is {part.kind}")
    return find_weights(read_torch_file(part.path), str(part.path)).state
