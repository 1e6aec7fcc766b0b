"""Does the model fit the data? Found out with one batch before the first step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..data import Batch
from ..errors import EdgetrainError, UsageError
from ..tasks import Task
from .learner import Learner


def check_outputs(learner: Learner, batch: Batch, task: Task, count: int) -> None:
    """Runs the model on one batch in eval mode and has the task look at what comes out.

    Args:
        count: how many numbers the model must give (`Task.output_count`).
    Raises:
        UsageError: the model can't take the inputs, or its outputs don't fit the targets.
    """
    try:
        outputs = learner.predict(batch.inputs)
    except EdgetrainError:
        raise
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"the model can't take {_shapes(batch.inputs)}: {reason}") from error
    device = learner.world.device
    task.check_outputs(outputs, {name: t.to(device) for name, t in batch.targets.items()}, count)


def _shapes(inputs: Mapping[str, Tensor]) -> str:
    """`inputs of shape [B, 3]`, or several by name; B is the batch."""
    texts = {name: f"[{', '.join(['B', *map(str, t.shape[1:])])}]" for name, t in inputs.items()}
    if len(texts) == 1:
        return f"inputs of shape {next(iter(texts.values()))}"
    return f"inputs {', '.join(f'{name} {text}' for name, text in texts.items())}"
