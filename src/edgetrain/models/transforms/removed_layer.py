"""A layer that does nothing, taken out of the `Sequential` it is in."""

from __future__ import annotations

from torch import nn

from ...artifacts.transforms import RemovedLayer
from ...errors import InputError


def remove_layer(model: nn.Module, record: RemovedLayer) -> nn.Module:
    """Takes a layer out. The others keep their names, and so do their tensors.

    Raises:
        InputError: it is in no `Sequential`, or does something.
    """
    path, _, name = record.module.rpartition(".")
    parent = model.get_submodule(path)
    if not isinstance(parent, nn.Sequential) or not isinstance(parent.get_submodule(name), nn.Identity):
        raise InputError(f"{record.module} is no layer that can be left out")
    delattr(parent, name)
    return model
