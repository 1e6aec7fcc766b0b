"""Programs with every dropout turned off, so that they can be compared with eager PyTorch.

Programs of edgetrain drop out a tensor filled with the scale 1/(1-p) to make their masks (see
`export.passes.dropout_as_mask`): the probability becomes 0, the filling 1. Where nothing else reads these
numbers they are overwritten where they lie; otherwise the program is taken apart and written anew, which
takes seconds for large ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from ..errors import InputError
from ..upstream.files import write_program
from ..upstream.flat_programs import FlatCall, FlatPlan, flat_plans
from .atomic import write_bytes
from .fixed_draws import DRAWS, fix_draws, kernel_calls
from .manifest import file_record, manifest_path, save_manifest
from .program import Program, deserialize

_NUMBER = 1  # of the arguments of both operators: the probability, the filling
_OFF = (0.0, 1.0)  # these, where nothing is dropped


@lru_cache(maxsize=1)
def without_dropout(program: bytes) -> bytes:
    """The same program with every dropout turned off, and all other random numbers fixed (`fixed_draws`).

    Raises:
        InputError: its dropout was not written by edgetrain, or it is damaged.
    """
    return _overwritten(program) or _written_anew(program)


def save_without_dropout(program: Program, path: Path) -> None:
    """Writes a copy of a program, with its manifest, as `without_dropout`."""
    write_bytes(path, without_dropout(program.path.read_bytes()))
    manifest = program.manifest.model_copy(update={"program": file_record(path), "dropout": False})
    save_manifest(manifest_path(path), manifest)


def _overwritten(program: bytes) -> bytes | None:
    changed = bytearray(program)
    try:
        plans = flat_plans(changed)
    except Exception:  # damaged, which the other way tells better
        return None
    for plan in plans:
        if any(call.operator in DRAWS for call in plan.calls):
            return None
        for number, chosen in zip(_OFF, _dropouts(plan.calls), strict=True):
            for place in _places(plan, chosen):
                if place is None:
                    return None
                struct.pack_into("<d", changed, place, number)
    return bytes(changed)


def _places(plan: FlatPlan, chosen: list[FlatCall]) -> Iterator[int | None]:
    """Where the numbers of some calls lie; None for one that other calls read, too."""
    mine = {id(call) for call in chosen}
    shared = {
        value
        for call in plan.calls
        for place, value in enumerate(call.args)
        if place != _NUMBER or id(call) not in mine
    }
    for value in {call.args[_NUMBER] for call in chosen}:
        yield None if value in shared else plan.place_of_float(value)


def _written_anew(program: bytes) -> bytes:
    from executorch.exir.schema import Double, EValue

    file = deserialize(program)
    for plan in file.program.execution_plan:
        # Changes to their arguments are changes of the program.
        calls = [FlatCall(plan.operators[call.op_index].name, call.args) for call in kernel_calls(plan)]
        for number, chosen in zip(_OFF, _dropouts(calls), strict=True):
            if chosen:
                # Numbers may share their value with other arguments, so these get a value of their own.
                plan.values.append(EValue(Double(number)))
            for call in chosen:
                call.args[_NUMBER] = len(plan.values) - 1
    fix_draws(file.program)
    return write_program(file)


def _dropouts(calls: list[FlatCall]) -> tuple[list[FlatCall], list[FlatCall]]:
    """The dropouts of a method, and what fills the tensors that they drop out."""
    dropouts = [call for call in calls if call.operator == "aten::native_dropout"]
    dropped = {call.args[0] for call in dropouts}
    fills = []
    for call in calls:
        # full_like(like, value, memory format, out)
        if call.operator == "aten::full_like" and dropped.intersection(call.args[2:]):
            fills.append(call)
            dropped.difference_update(call.args)
    if dropped:
        raise InputError("the program's dropout was not written by edgetrain and can't be turned off")
    return dropouts, fills
