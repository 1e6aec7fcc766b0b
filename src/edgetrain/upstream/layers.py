"""Layers and modules of PyTorch, and torchvision's operators."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule


def batch_norm_types() -> tuple[type[torch.nn.Module], ...]:
    """The common base of BatchNorm1d, 2d, 3d and SyncBatchNorm: `torch.nn.modules.batchnorm._BatchNorm`."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return (_BatchNorm,)


def dropout_types() -> tuple[type[torch.nn.Module], ...]:
    """The common base of all dropout layers: `torch.nn.modules.dropout._DropoutNd`."""
    from torch.nn.modules.dropout import _DropoutNd

    return (_DropoutNd,)


def copy_registrations(source: torch.nn.Module, target: torch.nn.Module) -> None:
    """Gives a module the parameters, buffers and layers of another, the same objects in the same order, and
    none besides: `Module._parameters`, `_buffers`, `_non_persistent_buffers_set` and `_modules`."""
    for name in ("_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"):
        setattr(target, name, getattr(source, name).copy())


def has_hooks(module: torch.nn.Module) -> bool:
    """Whether something runs before or after a module's forward or backward: `Module._forward_hooks`,
    `_forward_pre_hooks`, `_backward_hooks` and `_backward_pre_hooks`."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in names)


def has_vision_operators() -> bool:
    """Whether torchvision's compiled operators fit this torch: `torchvision.extension._has_ops`."""
    from torchvision import extension

    return bool(extension._has_ops())


def convolve(layer: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """What a convolution layer computes with another weight: its `_conv_forward`, padding modes and all."""
    convolved: torch.Tensor = layer._conv_forward(x, weight, layer.bias)
    return convolved


def drop_argument_checks(graph: GraphModule) -> None:
    """Has a module of `torch.export` take arguments in any way: clears its `_forward_pre_hooks`."""
    graph._forward_pre_hooks.clear()


def share_contents(module: torch.nn.Module, source: torch.nn.Module) -> None:
    """Gives a module the very modules, parameters and buffers of another: its `_modules`, `_parameters` and
    `_buffers`, and which of these are not persistent."""
    for name in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
        module.__dict__[name] = source.__dict__[name]


def copy_contents(module: torch.nn.Module, source: torch.nn.Module, memo: dict[int, Any]) -> None:
    """The same with copies.

    Args:
        memo: as of `copy.deepcopy`.
    """
    for name in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
        module.__dict__[name] = copy.deepcopy(source.__dict__[name], memo)
