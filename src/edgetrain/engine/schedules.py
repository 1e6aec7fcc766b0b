"""The learning rate as a pure function of the step, so that a resumed run needs nothing but its position."""

from __future__ import annotations

import math

from ..config.optimizer import ScheduleConfig


def count_steps(epochs: int, steps_per_epoch: int, max_steps: int | None = None) -> int:
    """Optimizer steps of a whole run; `max_steps` may shorten it."""
    steps = epochs * steps_per_epoch
    return steps if max_steps is None else min(steps, max_steps)


def steps_per_epoch(batches: int, accumulate: int) -> int:
    """Optimizer steps of an epoch where `accumulate` batches make one; the last may be made of fewer."""
    return -(-batches // accumulate)


def depends_on_length(schedule: ScheduleConfig) -> bool:
    """Whether the learning rate of a step depends on how many steps the run has."""
    return schedule.name == "cosine"


def learning_rate(
    schedule: ScheduleConfig, peak: float, step: int, total_steps: int, steps_per_epoch: int
) -> float:
    """The learning rate of one step.

    The first `warmup_steps` rise linearly and reach the peak with the last of them. `step` multiplies by
    gamma after every `step_epochs` epochs, counted from the start of the run. `cosine` falls from the peak,
    at the first step after the warm-up, towards `final_ratio * peak`, which the step after the last would
    have.

    Args:
        peak: the optimizer's learning rate.
        step: 0 for the first step.
        total_steps: steps of the whole run (`count_steps`).
    """
    if step < schedule.warmup_steps:
        return peak * (step + 1) / schedule.warmup_steps
    if schedule.name == "step":
        return peak * schedule.gamma ** (step // steps_per_epoch // schedule.step_epochs)
    if schedule.name == "cosine":
        done = (step - schedule.warmup_steps) / max(1, total_steps - schedule.warmup_steps)
        share = (1 + math.cos(math.pi * min(1.0, done))) / 2
        return peak * (schedule.final_ratio + (1 - schedule.final_ratio) * share)
    return peak
