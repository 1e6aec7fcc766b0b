"""Does the model fit the data? Found out with one batch before the first step."""

from __future__ import annotations

import torch

from ..artifacts.specs import Task
from ..data import Batch
from ..errors import EdgetrainError, UsageError
from .learner import Learner


def check_outputs(learner: Learner, batch: Batch, task: Task, outputs: int) -> None:
    """Runs the model on one batch in eval mode and looks at what comes out.

    Args:
        outputs: number of classes (cross_entropy).
    Raises:
        UsageError: the model can't take the inputs, or its outputs don't fit the targets.
    """
    try:
        logits = learner.predict(batch.inputs)
    except EdgetrainError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"the model can't take inputs of shape {_shape(batch.inputs)}: {reason}") from error
    if task.loss == "cross_entropy":
        expected = [len(batch.inputs), outputs]
        what = f"for {outputs} classes"
    else:
        expected = list(batch.targets.shape)
        what = f"as the targets of the loss {task.loss} have it"
    if list(logits.shape) != expected:
        raise UsageError(
            f"the model's outputs have the shape {_shape(logits)}, but {_names(expected)} is needed {what}"
        )


def _shape(tensor: torch.Tensor) -> str:
    return _names(list(tensor.shape))


def _names(shape: list[int]) -> str:
    """A shape with its first dimension called B, the batch."""
    return f"[{', '.join(['B', *map(str, shape[1:])])}]"
