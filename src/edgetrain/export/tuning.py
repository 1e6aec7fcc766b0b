"""How well a model can be fine-tuned by what it trains: a few steps in PyTorch, judged on other samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..artifacts.contract import Metric
from ..engine.metrics import Meter
from ..engine.modes import set_training_mode
from ..engine.optimizers import clip_gradients, make_optimizer
from ..errors import UsageError
from ..models.calling import call_model
from ..tasks.outputs import named_outputs
from .batches import Batch
from .pipeline import Subject

STEPS = 50
# One sample in so many is held back to judge by.
_HELD_BACK = 4


def check_enough(samples: Batch, file: Path | None) -> None:
    """Checks that samples can be held back.

    Raises:
        UsageError: there are too few.
    """
    if len(samples) < _HELD_BACK:
        raise UsageError(
            f"--calibration {file} gives {len(samples)} samples to tune with, too few to compare by; it "
            f"takes {_HELD_BACK}"
        )


def tuned_figure(subject: Subject, samples: Batch, metric: Metric, steps: int = STEPS) -> float:
    """Fine-tunes a model, which is changed, for a few steps and measures it on samples held back.

    The steps are those of the configuration's optimizer, without groups, over batches of at most the largest
    size that are drawn alike for every model.

    Args:
        samples: at least as many as `check_enough` wants.
    """
    model, task, settings = subject.module, subject.task, subject.settings
    count = len(samples) - len(samples) // _HELD_BACK
    parameters = dict(model.named_parameters())
    # A group may be one that this model doesn't train.
    config = subject.config.optimizer.model_copy(update={"groups": {}})
    optimizer = make_optimizer(config, parameters.items())
    set_training_mode(model, settings.batch_norm)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        for _ in range(steps):
            batch = rows_of(samples, torch.randperm(count)[: settings.max_batch_size])
            optimizer.zero_grad()
            task.loss(named_outputs(call_model(model, batch.inputs)), batch.targets).backward()
            clip_gradients(subject.config.optimizer, parameters.values())
            optimizer.step()
    return _figure(subject, rows_of(samples, torch.arange(count, len(samples))), metric)


@torch.no_grad()
def _figure(subject: Subject, batch: Batch, metric: Metric) -> float:
    subject.module.eval()
    outputs = named_outputs(call_model(subject.module, batch.inputs))
    meter = Meter()
    loss = subject.task.loss(outputs, batch.targets)
    meter.add(subject.task.sums(outputs, batch.targets, loss), len(batch))
    return meter.figure(metric)


def rows_of(samples: Batch, rows: Tensor | Sequence[int]) -> Batch:
    """Some samples of a batch."""
    chosen = torch.as_tensor(rows)
    return Batch(
        {name: tensor[chosen] for name, tensor in samples.inputs.items()},
        {name: tensor[chosen] for name, tensor in samples.targets.items()},
    )
