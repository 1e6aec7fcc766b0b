"""Real samples, for what can't be decided on random ones."""

from __future__ import annotations

import torch
from torch import Tensor

from ..artifacts.specs import INPUTS, TARGETS
from ..config.data import DataConfig
from ..data import load_dataset
from ..data.checks import check_fits
from ..errors import InputError, UsageError
from .batches import Batch
from .pipeline import Subject

MOST_SAMPLES = 256


def calibration_inputs(subject: Subject) -> dict[str, Tensor]:
    """The inputs of `calibration_samples` by name; empty where no file is given.

    Raises:
        as there.
    """
    samples = calibration_samples(subject)
    return {} if samples is None else samples.inputs


def calibration_samples(subject: Subject) -> Batch | None:
    """The first samples of `export.calibration` as the model takes them, with their targets; None where no
    file is given.

    Raises:
        InputError: the file is missing or damaged.
        UsageError: its samples aren't such as the model was trained on.
    """
    path, source = subject.settings.calibration, subject.source
    if path is None:
        return None
    if not path.exists():
        raise InputError(f"--calibration {path} does not exist; name a file of 'edgetrain pack', or a .npz")
    inputs, targets = list(source.inputs), list(source.targets or {})
    config = DataConfig(
        name="arrays",
        root=path,
        inputs=[] if inputs == [INPUTS] else inputs,
        targets=[] if targets == [TARGETS] else targets,
    )
    dataset = load_dataset(config, program=source.inputs)
    task = subject.task
    try:
        check_fits(dataset, source.inputs, task.check_targets, task.spec.classes, source.targets)
    except InputError as error:
        raise UsageError(f"--calibration {path} doesn't fit the model: {error}") from error
    rows = torch.arange(min(MOST_SAMPLES, len(dataset.train)))
    stored = dataset.train.inputs(rows)
    prepared = {name: s.preprocessing.apply(stored[name]).contiguous() for name, s in source.inputs.items()}
    return Batch(prepared, dataset.train.targets(rows))
