"""safetensors: named tensors and nothing else."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ...config.convert import ConvertConfig
from ...errors import InputError
from ..kinds import Identified
from ..source import Source
from ..weights import find_weights
from .named_model import source_of_weights


def read_safetensors(found: Identified, config: ConvertConfig) -> Source:
    """Reads weights for the model named by `--model`.

    Raises:
        InputError: the file is damaged.
    """
    weights = find_weights(load_safetensors(found.path), str(found.path), config.weights_key)
    return source_of_weights(weights, config, "safetensors", found.path)


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Raises:
        InputError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no safetensors file, or a damaged one ({error})") from error
    return state
