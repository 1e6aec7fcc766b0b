"""Times of a call, here and in PyTorch, taken in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from ..native_build import KernelCaller, Out
from .calls import Call
from .operators import make_arguments, torch_call


@dataclass(frozen=True)
class Timed:
    """A call that occurs `count` times in a step, with the milliseconds one takes.

    Attributes:
        kernel: whose kernel ran in the runner: edgetrain or executorch.
        torch_ms: None where PyTorch has no such operator.
    """

    operator: str
    sizes: str
    count: int
    kernel: str
    ms: float
    torch_ms: float | None
    operations: int
    bytes: int

    @property
    def ratio(self) -> float | None:
        return self.ms / self.torch_ms if self.torch_ms else None

    @property
    def gflops(self) -> float | None:
        return self.operations / self.ms / 1e6 if self.operations else None

    @property
    def gb_s(self) -> float:
        return self.bytes / self.ms / 1e6


def measure(caller: KernelCaller, call: Call, count: int, rounds: int, seconds: float) -> Timed:
    """The medians of all rounds; each round lasts `seconds` on each side."""
    arguments = make_arguments(call)
    outs = [argument for argument in call.arguments if isinstance(argument, Out)]
    in_torch = torch_call(call, arguments)
    ours, theirs = [], []
    for _ in range(rounds):
        timing = caller.time(seconds, call.operator, *arguments.values(), *outs)
        if timing.kernel == "failed":
            raise RuntimeError(f"the runner can't compute {call.operator} of {call.sizes}")
        ours.append(timing.seconds)
        if in_torch is not None:
            theirs.append(_torch_seconds(in_torch, seconds))
    return Timed(
        operator=call.operator,
        sizes=call.sizes,
        count=count,
        kernel=timing.kernel,
        ms=1e3 * statistics.median(ours),
        torch_ms=1e3 * statistics.median(theirs) if theirs else None,
        operations=call.operations,
        bytes=call.bytes,
    )


def _torch_seconds(call: Callable[[], Any], seconds: float) -> float:
    """As kernel_calls does it: the median over calls that take that long together."""
    with torch.no_grad():
        call()
        started = time.perf_counter()
        call()
        group = 1 + int(2e-5 / max(time.perf_counter() - started, 1e-7))
        times = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            started = time.perf_counter()
            for _ in range(group):
                call()
            times.append((time.perf_counter() - started) / group)
    return statistics.median(times)
