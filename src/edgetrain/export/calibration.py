"""Real samples, for what can't be decided on random ones."""

from __future__ import annotations

from pathlib import Path

import torch

from ..artifacts.checkpoint import Checkpoint
from ..artifacts.specs import INPUTS, TARGETS
from ..config.data import DataConfig
from ..data import load_dataset
from ..data.arrays import first_inputs
from ..data.checks import check_fits, check_inputs
from ..data.normalize import warn_of_small_numbers
from ..errors import InputError, UsageError
from ..reporting import SILENT, Reporter
from ..tasks import Task
from .batches import Batch
from .pipeline import Subject

MOST_SAMPLES = 256


def calibration_samples(
    subject: Subject, reporter: Reporter = SILENT, *, with_targets: bool = False
) -> Batch | None:
    """The first samples of `export.calibration` as the model takes them; None where no file is given.

    Raises:
        as `read_calibration`.
    """
    path = subject.settings.calibration
    if path is None:
        return None
    return read_calibration(
        path, subject.source, subject.task, MOST_SAMPLES, reporter, with_targets=with_targets
    )


def read_calibration(
    path: Path,
    source: Checkpoint,
    task: Task,
    most: int,
    reporter: Reporter = SILENT,
    *,
    with_targets: bool = False,
) -> Batch:
    """The first samples of a packed or .npz file as a model takes them.

    Args:
        source: the model.
        with_targets: the samples' targets are asked for, which else may be missing in the file.
    Raises:
        InputError: the file is missing or damaged.
        UsageError: its samples aren't such as the model was trained on.
    """
    if not path.exists():
        raise InputError(f"--calibration {path} does not exist; name a file of 'edgetrain pack', or a .npz")
    inputs, targets = list(source.inputs), list(source.targets or {})
    config = DataConfig(
        name="arrays",
        root=path,
        inputs=[] if inputs == [INPUTS] else inputs,
        targets=[] if targets == [TARGETS] else targets,
    )
    if with_targets:
        dataset = load_dataset(config, reporter, program=source.inputs)
        samples = dataset.train.samples(torch.arange(min(most, len(dataset.train))))
        stored, wanted = samples.inputs, samples.targets
    else:
        stored, wanted = first_inputs(path, config, most), {}
        warn_of_small_numbers(stored, source.inputs, reporter)
    try:
        if with_targets:
            check_fits(dataset, source.inputs, task.check_targets, task.spec.classes, source.targets)
        check_inputs(stored, source.inputs)
    except InputError as error:
        raise UsageError(f"--calibration {path} doesn't fit the model: {error}") from error
    prepared = {name: s.preprocessing.apply(stored[name]).contiguous() for name, s in source.inputs.items()}
    return Batch(prepared, wanted)
