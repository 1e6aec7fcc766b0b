"""What a pickle would do, read from its opcodes without doing any of it."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO

from ..errors import InputError

_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_INTEGERS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG"}


@dataclass
class PickleSummary:
    """What the opcodes say.

    Attributes:
        names: `module.name` of everything that loading would look up, in the order of first use.
        largest_storage: elements of the largest tensor storage that is asked for.
    """

    names: list[str] = field(default_factory=list)
    largest_storage: int = 0


def summarize(pickle: bytes, path: Path, *, several: bool = False) -> PickleSummary:
    """Reads the opcodes of a pickle.

    Args:
        path: its file, for messages.
        several: pickles follow each other, and then other data (the old format of torch.save).
    Raises:
        InputError: it is damaged.
    """
    summary = PickleSummary()
    stream = BytesIO(pickle)
    try:
        _summarize_one(stream, summary)
        # Magic number, protocol, system, object, keys of the storages.
        for _ in range(4 if several else 0):
            _summarize_one(stream, summary)
    except (ValueError, IndexError, KeyError) as error:
        raise InputError(f"{path} is cut short or damaged; copy or download it again") from error
    return summary


def _summarize_one(stream: IO[bytes], summary: PickleSummary) -> None:
    recent: list[str] = []
    memo: dict[int, str] = {}
    number = 0
    for opcode, argument, _ in pickletools.genops(stream):
        if opcode.name in _STRINGS:
            recent.append(str(argument))
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = recent[-1] if recent else ""
        elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT"):
            memo[int(argument or 0)] = recent[-1] if recent else ""
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
            recent.append(memo.get(int(argument or 0), ""))
        elif opcode.name in _INTEGERS:
            number = int(argument or 0)
        elif opcode.name in ("BINPERSID", "PERSID"):
            # A storage: ('storage', type, key, device, elements).
            summary.largest_storage = max(summary.largest_storage, number)
        elif opcode.name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            name = ".".join(recent[-2:]) if opcode.name == "STACK_GLOBAL" else str(argument).replace(" ", ".")
            if name not in summary.names:
                summary.names.append(name)
