"""Changes of a model's layers, by records (`artifacts/transforms.py`) that whoever builds the model replays.

Some last, and are part of the checkpoint: surgery, pruning, observers, or the graph that is the whole model.
Others are made for one program, so that less of it has to be trained, and are merged back into the model's
own tensors: split layers, adapters.

To add one: a record in `artifacts/transforms.py`, `NAME.py` with a function `(model, record) → model`, and
its line in `_REPLAYS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...artifacts.contract import Slice
from ...artifacts.transforms import (
    FoldedNorm,
    Graph,
    KeptChannels,
    KeptZeros,
    Lora,
    Observers,
    RemovedLayer,
    ReplacedCall,
    ReplacedLayer,
    SetAttributes,
    SplitOutputs,
    Transform,
)
from ...errors import InputError
from .channels import keep_channels, set_attributes
from .folded_norm import fold_norm
from .graphs import build_graph
from .lora import LoraLinear, merge_adapter
from .observers import observe
from .removed_layer import remove_layer
from .replaced_call import replace_call
from .replaced_layer import replace_layer
from .split import SPLITTABLE, SplitLayer, channel_unit, merge_parts, part_slices
from .zeros import keep_zeros

__all__ = ["SPLITTABLE", "apply_transforms", "channel_unit", "merge_transforms", "slices_of"]


def apply_transforms(model: nn.Module, transforms: Iterable[Transform], seed: int = 0) -> nn.Module:
    """Replays what was done to a model.

    Args:
        model: as its code builds it; changed in place.
        seed: of the initial values of new parameters.
    Returns:
        the changed model, which may be another object.
    Raises:
        InputError: a record doesn't fit the model.
    """
    generator = torch.Generator().manual_seed(seed)
    for transform in transforms:
        try:
            if isinstance(transform, Lora):
                model = _add_adapter(model, transform, generator)
            else:
                model = _REPLAYS[type(transform)](model, transform)
        except AttributeError as error:
            raise InputError(
                f"the model has changed since '{transform.kind}' was recorded: {error}"
            ) from error
    return model


def slices_of(transforms: Iterable[Transform], tensors: Mapping[str, Tensor]) -> dict[str, Slice]:
    """Which tensors of a changed model are parts of an original parameter, and which parts.

    Args:
        tensors: of the changed model, by name.
    """
    found: dict[str, Slice] = {}
    for transform in transforms:
        if isinstance(transform, SplitOutputs):
            found |= part_slices(transform.module, dict(tensors))
    return found


def merge_transforms(transforms: Iterable[Transform], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a changed model as those of the original one: parts put together, adapters added in.

    Those of layers that were not changed, and of others than the model's, stay as they are.
    """
    merged = dict(tensors)
    for transform in transforms:
        if isinstance(transform, SplitOutputs):
            merged = merge_parts(transform.module, merged)
        elif isinstance(transform, Lora):
            merged = merge_adapter(transform.module, transform.rank, transform.alpha, merged)
    return merged


def _split_outputs(model: nn.Module, record: SplitOutputs) -> nn.Module:
    layer = model.get_submodule(record.module)
    assert isinstance(layer, SPLITTABLE)
    model.set_submodule(record.module, SplitLayer(layer, record.channels))
    return model


def _add_adapter(model: nn.Module, record: Lora, generator: torch.Generator) -> nn.Module:
    layer = model.get_submodule(record.module)
    assert isinstance(layer, nn.Linear)
    model.set_submodule(record.module, LoraLinear(layer, record.rank, record.alpha, generator))
    return model


def _become_graph(_: nn.Module, record: Graph) -> nn.Module:
    return build_graph(record)


_REPLAYS: dict[type, Callable[[nn.Module, Any], nn.Module]] = {
    Graph: _become_graph,
    ReplacedLayer: replace_layer,
    ReplacedCall: replace_call,
    FoldedNorm: fold_norm,
    RemovedLayer: remove_layer,
    KeptChannels: keep_channels,
    SetAttributes: set_attributes,
    KeptZeros: keep_zeros,
    Observers: observe,
    SplitOutputs: _split_outputs,
}
