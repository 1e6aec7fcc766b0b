"""How what a model returns is read: a tensor, or tensors by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import UsageError

# What the output of a model that returns one tensor is called, and names that models give their main one.
OUTPUT = "output"
_MAIN = (OUTPUT, "out", "logits")


def named_outputs(returned: Any, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The tensors a model returned, by name.

    A tensor is `output`; a mapping (torchvision's segmentation models, transformers' outputs) keeps its
    names, as do named tuples and dataclasses; of another tuple the tensors are `output`, `output1`, ...
    Floating-point ones are given as float32, as losses and programs want them, whatever the model
    computed in.

    Args:
        dtype: for a reference that is finer than float32.
    Raises:
        UsageError: there is none.
    """
    if isinstance(returned, Tensor):
        found = {OUTPUT: returned}
    elif isinstance(returned, Mapping):
        found = {str(name): value for name, value in returned.items() if isinstance(value, Tensor)}
    elif dataclasses.is_dataclass(returned) or hasattr(returned, "_fields"):
        names = getattr(returned, "_fields", None) or [f.name for f in dataclasses.fields(returned)]
        values = {str(name): getattr(returned, name) for name in names}
        found = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    elif isinstance(returned, (tuple, list)):
        tensors = [value for value in returned if isinstance(value, Tensor)]
        found = {f"{OUTPUT}{i or ''}": value for i, value in enumerate(tensors)}
    else:
        found = {}
    if not found:
        raise UsageError(
            f"the model must return a tensor or tensors by name, but returned {type(returned).__name__}"
        )
    return {
        name: value.to(dtype) if value.is_floating_point() and value.dtype != dtype else value
        for name, value in found.items()
    }


def main_output(outputs: Mapping[str, Tensor]) -> Tensor:
    """The output that predictions are made from: `output`, `out` or `logits`, else the first."""
    return outputs[next((name for name in _MAIN if name in outputs), next(iter(outputs)))]
