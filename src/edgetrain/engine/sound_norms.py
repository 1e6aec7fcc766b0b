"""Batch norms whose gradients can be relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

# The functions of layers, and those under them, which code may call itself.
_NORMS = (F.batch_norm, F.instance_norm, torch.batch_norm, torch.instance_norm)


class SoundNorms(TorchFunctionMode):
    """While this is entered, batch and instance norms compute with tensors that lie in order.

    Of a single sample nothing says whether its channels lie first or last in memory. Where input and gradient
    seem to lie differently, as behind `flatten(2).transpose(1, 2)`, the backward of PyTorch 2.13 on a CPU
    mixes their elements up, in float64 too.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func not in _NORMS:
            return func(*args, **(kwargs or {}))
        given = {**dict(zip(["input"], args, strict=False)), **(kwargs or {})}
        y = func(given.pop("input").contiguous(), *args[1:], **given)
        if y.requires_grad:
            y.register_hook(_in_order)
        return y


def _in_order(gradient: Tensor) -> Tensor:
    return gradient.contiguous()
