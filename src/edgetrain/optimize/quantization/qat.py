"""Quantization-aware training: a model that learns under the rounding of its int8 program."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

from ...artifacts.specs import TensorSpec
from ...artifacts.transforms import Observers
from ...errors import UsageError
from ...models.transforms.observed.model import ObservedModel, int8_module
from ...models.transforms.observers import observe
from .checks import check_float, check_samples


def prepare_qat(model: nn.Module, inputs: Mapping[str, Tensor], *, skip: Sequence[str] = ()) -> ObservedModel:
    """A model that computes as the int8 program will, to be trained like the one it is made of:

        model = prepare_qat(model, {"inputs": images})
        ...                                    # some epochs, with a small learning rate
        program = write_program(finish_qat(model), ...)

    It is called as the model is; its parameters have the same names. `model.freeze()` keeps batch norm
    statistics and ranges as they are, as `QatSchedule` does.

    Args:
        model: in float32; it stays as it is.
        inputs: real samples [N, ...], by name, of which the first ranges are taken; N is at least 2.
        skip: patterns of layers that stay float32.
    Raises:
        UsageError: the model is quantized already, doesn't take these samples, or has no layer of a pattern.
        CheckFailedError: torch.export can't capture the model.
    """
    check_float(model)
    check_samples(model, inputs)
    record = Observers(inputs={name: _spec(name, t) for name, t in inputs.items()}, skipped=tuple(skip))
    observed = observe(copy.deepcopy(model), record)
    observed.calibrate(inputs)
    return observed


def finish_qat(model: nn.Module) -> nn.Module:
    """The int8 model of a trained one, which stays as it is: for inference in PyTorch and `write_program`.

    Raises:
        UsageError: the model wasn't prepared.
    """
    if not isinstance(model, ObservedModel):
        raise UsageError("the model has no observers; prepare_qat() gives one that has")
    return int8_module(model)


class QatSchedule:
    """A step hook that lets batch norm statistics and ranges come to rest while weights still learn.

    Args:
        norms, ranges: after which share of the run's steps.
    """

    def __init__(self, norms: float = 0.5, ranges: float = 0.7) -> None:
        for name, share in (("norms", norms), ("ranges", ranges)):
            if not 0 <= share <= 1:
                raise UsageError(f"{name} are frozen after a share of the steps, from 0 to 1, not {share:g}")
        self.settings: dict[str, Any] = {"qat": {"norms": norms, "ranges": ranges}}
        self._norms, self._ranges = norms, ranges

    def after_step(self, model: nn.Module, step: int, total: int) -> None:
        """Freezes what is to rest from this step on.

        Args:
            model: with observers.
            step: the optimizer's steps so far, 1 for the first.
            total: steps of the whole run.
        """
        cast(ObservedModel, model).freeze(
            norms=step >= self._norms * total, ranges=step >= self._ranges * total
        )

    def settled(self, step: int, total: int) -> bool:
        """Whether an epoch may be the best: any, since each is validated as the int8 model it would be."""
        return True


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in ("float32", "int64"):
        raise UsageError(f"{name} is {dtype}; a model takes float32, or int64 ids")
    return TensorSpec(shape=tuple(tensor.shape[1:]), dtype=cast(Any, dtype))
