"""Operators' times in eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch.profiler import ProfilerActivity, profile, record_function

from ..artifacts.program_parts import Part
from .profile import Profile, TimedCall, sum_up

_STEP = "training step "


def profile_in_torch(step: Callable[[], float], count: int) -> Profile:
    """The profile of steps in this process. An operator's time is without that of those it calls.

    Args:
        step: takes one, and returns its seconds.
    """
    seconds = []
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for index in range(count):
            with record_function(f"{_STEP}{index}"):
                seconds.append(step())
    steps: list[list[TimedCall]] = [[] for _ in range(count)]
    for event in recorded.events() or []:
        if "::" not in event.name or event.name.startswith("autograd::"):
            continue
        callers = list(_callers(event))
        if callers[-1].startswith(_STEP):
            call = TimedCall(event.name, "torch", _part(callers), event.self_cpu_time_total * 1e-6)
            steps[int(callers[-1].removeprefix(_STEP))].append(call)
    return sum_up(steps, seconds)


def _part(callers: list[str]) -> Part:
    """By what called it: autograd's engine runs backward, and nothing else."""
    for name in callers:
        if name.startswith("autograd::engine"):
            return "backward"
        if name.startswith("Optimizer."):
            return "update"
    return "forward"


def _callers(event: Any) -> Iterator[str]:
    """Names of an event and of those around it, the outermost last."""
    while event is not None:
        yield event.name
        event = event.cpu_parent
