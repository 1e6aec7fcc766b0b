"""What ExecuTorch's profiler writes: an etdump, with what ran in each run of a method, and for how long."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from .flatbuffer import FlatTable

# What the runtime calls the event around an instruction.
INSTRUCTION_EVENTS = ("OPERATOR_CALL", "DELEGATE_CALL")
_RUN = "Execute"
_SIZE_PREFIX = 4
# Fields of the schema's tables, by their order there.
_RUNS, _RUN_NAME, _RUN_EVENTS, _PROFILE_EVENT = 1, 0, 3, 0
_NAME, _INSTRUCTION, _START, _END = 0, 2, 6, 7


@dataclass(frozen=True)
class Event:
    """Something that took time.

    Attributes:
        name: one of `INSTRUCTION_EVENTS`, or what a kernel calls itself, as in native_call_add.out.
        instruction: its number in the method.
    """

    name: str
    instruction: int
    seconds: float


def read_runs(path: Path) -> list[list[Event]]:
    """The events of every run of a method, in the order of their ends: a kernel's before its instruction's.

    Raises:
        InputError: the file is no etdump, or damaged.
    """
    data = path.read_bytes()
    try:
        (offset,) = struct.unpack_from("<I", data, _SIZE_PREFIX)
        root = FlatTable(data, _SIZE_PREFIX + offset)
        return [_events(run) for run in root.tables(_RUNS) if run.text(_RUN_NAME) == _RUN]
    except (ValueError, struct.error) as error:
        raise InputError(f"{path} is no etdump, or a damaged one; profile again") from error


def _events(run: FlatTable) -> list[Event]:
    found = []
    for record in run.tables(_RUN_EVENTS):
        event = record.table(_PROFILE_EVENT)
        if event is not None:
            nanoseconds = event.number(_END, "<Q") - event.number(_START, "<Q")
            name, instruction = event.text(_NAME), event.number(_INSTRUCTION, "<i", default=-1)
            found.append(Event(name, instruction, nanoseconds * 1e-9))
    return found
