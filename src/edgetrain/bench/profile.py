"""Where the time of a step goes: by operator, part of the step, and whose kernel ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..artifacts.contract import Contract
from ..artifacts.etdump import INSTRUCTION_EVENTS, Event, read_runs
from ..artifacts.program_parts import Part, StepCall, step_calls
from ..errors import CheckFailedError

Kernel = Literal["edgetrain", "executorch", "delegate", "torch"]

_Key = tuple[str, Kernel, Part]
_OURS, _STOCK = "edgetrain_call_", "native_call_"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OperatorTime(_Record):
    """One operator in one part of a step, by one library's kernels."""

    operator: str = Field(description="as the runtime names it; of what a backend runs, the backend's name")
    kernel: Kernel = Field(description="whose: edgetrain's, ExecuTorch's, PyTorch's, or a backend's")
    part: Part = Field(description="of the step; by what depends on what in a program")
    calls: float = Field(description="per step")
    ms: float = Field(description="per step")
    share: float = Field(description="of the time of all operators")


class Profile(_Record):
    """The operators of one runtime's steps. Profiling itself takes time, so these are no measured steps."""

    steps: int = Field(description="that all times are medians over; one before them is left out")
    step_ms: float = Field(description="of a step while it was profiled")
    operators_ms: float = Field(description="of all its operators; the rest is between and around them")
    operators: list[OperatorTime] = Field(description="by time, the longest first")


@dataclass(frozen=True)
class TimedCall:
    """One call of an operator."""

    operator: str
    kernel: Kernel
    part: Part
    seconds: float


def sum_up(steps: Sequence[Iterable[TimedCall]], step_seconds: Sequence[float]) -> Profile:
    """The profile of some steps: of each operator the median over the steps.

    Args:
        steps: the calls of each.
        step_seconds: how long each took.
    """
    counts: dict[_Key, int] = defaultdict(int)
    seconds: dict[_Key, list[float]] = defaultdict(lambda: [0.0] * len(steps))
    for index, calls in enumerate(steps):
        for call in calls:
            key = (call.operator, call.kernel, call.part)
            counts[key] += 1
            seconds[key][index] += call.seconds
    times = {key: 1e3 * median(values) for key, values in seconds.items()}
    total = sum(times.values())
    return Profile(
        steps=len(steps),
        step_ms=1e3 * median(step_seconds),
        operators_ms=total,
        operators=[
            OperatorTime(
                operator=key[0],
                kernel=key[1],
                part=key[2],
                calls=counts[key] / len(steps),
                ms=times[key],
                share=times[key] / total if total > 0 else 0.0,
            )
            for key in sorted(times, key=lambda key: (-times[key], key))
        ],
    )


def profile_of_etdump(path: Path, program: bytes, contract: Contract, step_seconds: list[float]) -> Profile:
    """The profile of an etdump of steps of a program; the first is left out.

    Args:
        step_seconds: of all of them, the first included.
    Raises:
        InputError: the etdump or the program is damaged.
        CheckFailedError: the etdump is none of so many steps of this program.
    """
    methods = step_calls(program, contract)
    runs = [calls for events in read_runs(path) if (calls := _timed(events, methods)) is not None]
    each, rest = divmod(len(runs), len(step_seconds))
    if each == 0 or rest:
        raise CheckFailedError(
            f"the profile has {len(runs)} runs of the program's methods, which are no {len(step_seconds)} "
            "steps; leave --profile out"
        )
    steps = [runs[start : start + each] for start in range(each, len(runs), each)]
    return sum_up([[call for run in step for call in run] for step in steps], step_seconds[1:])


def _timed(events: list[Event], methods: dict[str, dict[int, StepCall]]) -> list[TimedCall] | None:
    """The calls of a run; None where it is none of these methods, as that which reads the weights."""
    times = {event.instruction: event for event in events if event.name in INSTRUCTION_EVENTS}
    kernels = {e.instruction: e.name for e in events if e.name.startswith((_OURS, _STOCK))}
    for calls in methods.values():
        if calls and times.keys() == calls.keys() and _agree(kernels, calls):
            return [
                TimedCall(call.operator, _kernel(call, kernels.get(number, "")), call.part, event.seconds)
                for number, event in times.items()
                for call in [calls[number]]
            ]
    return None


def _agree(kernels: dict[int, str], calls: dict[int, StepCall]) -> bool:
    return all(
        name.removeprefix(_OURS).removeprefix(_STOCK) == calls[number].operator.partition("::")[2]
        for number, name in kernels.items()
    )


def _kernel(call: StepCall, event: str) -> Kernel:
    if call.is_delegated:
        return "delegate"
    return "edgetrain" if event.startswith(_OURS) else "executorch"
