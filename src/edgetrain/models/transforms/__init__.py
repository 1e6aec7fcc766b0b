"""Changes of a model's layers before it is exported, so that less of them has to be trained.

They are recorded (`artifacts/transforms.py`), so that whoever has the original model can make them again, and
merge what was trained back into it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from ...artifacts.contract import Slice
from ...artifacts.transforms import SplitOutputs, Transform
from .lora import LoraLinear, merge_adapter
from .split import SPLITTABLE, SplitLayer, channel_unit, merge_parts, part_slices

__all__ = ["SPLITTABLE", "apply_transforms", "channel_unit", "merge_transforms", "slices_of"]


def apply_transforms(model: nn.Module, transforms: Iterable[Transform], seed: int = 0) -> None:
    """Changes a model's layers in place.

    Args:
        seed: of the initial values of new parameters.
    """
    generator = torch.Generator().manual_seed(seed)
    for transform in transforms:
        layer = model.get_submodule(transform.module)
        changed: nn.Module
        if isinstance(transform, SplitOutputs):
            assert isinstance(layer, SPLITTABLE)
            changed = SplitLayer(layer, transform.channels)
        else:
            assert isinstance(layer, nn.Linear)
            changed = LoraLinear(layer, transform.rank, transform.alpha, generator)
        model.set_submodule(transform.module, changed)


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
        else:
            merged = merge_adapter(transform.module, transform.rank, transform.alpha, merged)
    return merged
