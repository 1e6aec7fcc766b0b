"""Does the model fit the data? Found out with one batch before the first step."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..artifacts.specs import channels_first_advice
from ..data import Batch, Dataset
from ..data.checks import check_ids
from ..errors import EdgetrainError, UsageError
from ..models.vocabularies import watch_vocabularies
from ..tasks import Task
from .learner import Learner


def check_outputs(learner: Learner, batch: Batch, dataset: Dataset, task: Task, count: int) -> None:
    """Runs the model on one batch in eval mode and has the task look at what comes out.

    Args:
        dataset: what the batch is of; all its ids are compared with the model's embeddings.
        count: how many numbers the model must give (`Task.output_count`).
    Raises:
        InputError: the data has an id that the model has no embedding for.
        UsageError: the model can't take the inputs, or its outputs don't fit the targets.
    """
    device = learner.world.device
    inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
    with watch_vocabularies(learner.model, inputs) as vocabularies:
        try:
            outputs = learner.predict(inputs)
        except EdgetrainError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            # Embeddings are seen before they fail.
            _check_vocabularies(dataset, vocabularies)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            advice = (channels_first_advice(tuple(t.shape[1:])) for t in batch.inputs.values())
            remedy = "".join(f"; {text}" for text in dict.fromkeys(advice) if text)
            raise UsageError(f"the model can't take {_shapes(batch.inputs)}: {reason}{remedy}") from error
    _check_vocabularies(dataset, vocabularies)
    task.check_outputs(outputs, {name: t.to(device) for name, t in batch.targets.items()}, count)


def _check_vocabularies(dataset: Dataset, vocabularies: Mapping[str, int]) -> None:
    check_ids(dataset, {name: (0, count - 1) for name, count in vocabularies.items()}, "model")


def _shapes(inputs: Mapping[str, Tensor]) -> str:
    """`inputs of shape [B, 3]`, or several by name; B is the batch."""
    texts = {name: f"[{', '.join(['B', *map(str, t.shape[1:])])}]" for name, t in inputs.items()}
    if len(texts) == 1:
        return f"inputs of shape {next(iter(texts.values()))}"
    return f"inputs {', '.join(f'{name} {text}' for name, text in texts.items())}"
