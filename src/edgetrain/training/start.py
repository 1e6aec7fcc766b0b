"""Starting from a checkpoint's weights instead of initial ones."""

from __future__ import annotations

from ..artifacts.checkpoint import Checkpoint
from ..config.model import ModelConfig
from ..data import Dataset
from ..errors import UsageError
from ..factories import Trusted
from ..models.trusted import check_trusted
from ..tasks import Task


def check_start(start: Checkpoint, model: ModelConfig, dataset: Dataset, task: Task) -> None:
    """Compares what a checkpoint's model takes and was trained for with the data.

    Args:
        model: as configured; it vouches for the code of a model that is somebody's own.
    Raises:
        UsageError: they don't fit each other.
        InputError: the checkpoint names code that the configuration doesn't.
    """
    if "name" in model.model_fields_set and model.name != start.model.name:
        raise UsageError(
            f"the checkpoint to start from is a {start.model.name}, not a {model.name}; leave out --model"
        )
    check_trusted(start.model, Trusted(model=model.name), source="the checkpoint to start from")
    for name, spec in start.inputs.items():
        found = dataset.inputs.get(name)
        if found is None or (found.shape, found.dtype) != (spec.shape, spec.dtype):
            has = "none of that name" if found is None else f"{list(found.shape)} {found.dtype}"
            raise UsageError(
                f"the checkpoint's model takes {name} of {list(spec.shape)} {spec.dtype}, the data has "
                f"{has}; choose the data and the size it was trained with"
            )
    before, now = start.task.classes, task.spec.classes
    if before is not None and now is not None and len(before) != len(now):
        raise UsageError(
            f"the checkpoint's model has {len(before)} classes, the data has {len(now)}; train another "
            "model, or choose other data"
        )
