"""Channels that remain of tensors: what structured pruning leaves behind."""

from __future__ import annotations

import torch
from torch import nn

from ...artifacts.transforms import KeptChannels, SetAttributes
from ...errors import InputError


def keep_channels(model: nn.Module, record: KeptChannels) -> nn.Module:
    """Cuts a parameter or buffer down to the indices that were kept.

    Raises:
        InputError: the tensor has no such indices.
    """
    path, _, name = record.tensor.rpartition(".")
    module = model.get_submodule(path)
    tensor = getattr(module, name)
    kept = tensor.detach()
    for dim, indices in record.kept.items():
        if dim >= kept.dim() or not indices or max(indices) >= kept.shape[dim] or min(indices) < 0:
            raise InputError(
                f"{record.tensor} is {list(tensor.shape)}, and hasn't the channels that were kept of it"
            )
        kept = kept.index_select(dim, torch.tensor(indices, device=kept.device))
    if isinstance(tensor, nn.Parameter):
        setattr(module, name, nn.Parameter(kept, requires_grad=tensor.requires_grad))
    else:
        setattr(module, name, kept)
    return model


def set_attributes(model: nn.Module, record: SetAttributes) -> nn.Module:
    """Sets what a layer keeps about its shape."""
    module = model.get_submodule(record.module)
    for name, value in record.values.items():
        known = getattr(module, name, None)
        if not isinstance(known, int | tuple) or isinstance(known, bool):
            raise InputError(f"{record.module} has no number called {name}")
        setattr(module, name, value)
    return model
