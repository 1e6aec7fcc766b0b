"""What is left of a model's tensors, told by a copy whose tensors held the places of their own elements."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ...artifacts.transforms import KeptChannels, SetAttributes, Transform
from ...errors import UsageError


def fill_with_places(model: nn.Module) -> None:
    """Writes into each parameter and buffer where its elements lie, as whole numbers in float64."""
    for _, owner, name, tensor in _tensors(model):
        places = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
        if isinstance(tensor, nn.Parameter):
            tensor.data = places
        else:
            setattr(owner, name, places)


def read_records(model: nn.Module, cut: nn.Module) -> list[Transform]:
    """How a model becomes what its copy was cut down to.

    Args:
        cut: the copy, filled with places before it was cut.
    Raises:
        UsageError: something else than indices of whole dimensions was taken away.
    """
    records: list[Transform] = []
    left = {name: tensor for name, _, _, tensor in _tensors(cut)}
    shared = _shared(model)
    for name, _, _, tensor in _tensors(model):
        if left[name].shape == tensor.shape:
            continue
        if name in shared:
            raise UsageError(f"{name} belongs to several layers, whose channels can't be pruned; skip these")
        kept = _kept(left[name].detach(), tensor.shape)
        if kept is None:
            raise UsageError(f"{name} can't be cut along its dimensions; skip its layer")
        records.append(KeptChannels(tensor=name, kept=kept))
    for name, module in model.named_modules():
        before, after = _numbers(module), _numbers(cut.get_submodule(name))
        values = {key: value for key, value in after.items() if before.get(key) != value and key in before}
        if values:
            records.append(SetAttributes(module=name, values=values))
    return records


def _kept(places: Tensor, shape: torch.Size) -> dict[int, tuple[int, ...]] | None:
    """Which indices along each dimension are left of a tensor of a shape; None if it's something else."""
    if places.dim() != len(shape) or not places.numel():
        return None
    flat, indices = places.to(torch.int64), {}
    for dim, size in enumerate(shape):
        step = torch.Size(shape[dim + 1 :]).numel()
        line = flat.movedim(dim, 0).reshape(flat.shape[dim], -1)[:, 0]
        indices[dim] = line // step % size
    expected = torch.arange(shape.numel()).reshape(shape)
    for dim, index in indices.items():
        expected = expected.index_select(dim, index)
    if not torch.equal(expected, flat):
        return None
    return {dim: tuple(index.tolist()) for dim, index in indices.items() if len(index) < shape[dim]}


def _numbers(module: nn.Module) -> dict[str, int | tuple[int, ...]]:
    """The whole numbers, and tuples of them, that a module keeps as attributes."""
    return {
        name: value
        for name, value in vars(module).items()
        if type(value) is int or (isinstance(value, tuple) and all(type(part) is int for part in value))
    }


def _tensors(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """Each tensor's name in the model, its owner, its name there, and itself; shared ones as often as they
    have names."""
    for path, module in model.named_modules():
        shared = {"recurse": False, "remove_duplicate": False}
        own = {**dict(module.named_parameters(**shared)), **dict(module.named_buffers(**shared))}
        for name, tensor in own.items():
            yield f"{path}.{name}" if path else name, module, name, tensor


def _shared(model: nn.Module) -> set[str]:
    """Names of the tensors that have several."""
    names: dict[int, list[str]] = {}
    for name, _, _, tensor in _tensors(model):
        names.setdefault(id(tensor), []).append(name)
    return {name for several in names.values() if len(several) > 1 for name in several}
