"""What is in a program that nothing else is known about: its methods, read from the file itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from .program import check_bounds, deserialize

# As ExecuTorch's schema calls them, where PyTorch has other names.
_DTYPES = {
    "BYTE": "uint8", "CHAR": "int8", "SHORT": "int16", "INT": "int32", "LONG": "int64",
    "HALF": "float16", "FLOAT": "float32", "DOUBLE": "float64",
}  # fmt: skip


def describe_program(path: Path) -> dict[str, Any]:
    """Methods with the tensors they take and return, operators by how often they are called, and the backends
    that parts are left to.

    Raises:
        InputError: it is cut short or damaged.
    """
    check_bounds(path)
    program = deserialize(path.read_bytes()).program
    return {"methods": {plan.name: _method(plan) for plan in program.execution_plan}}


def _method(plan: Any) -> dict[str, Any]:
    names = [f"{operator.name}.{operator.overload}".rstrip(".") for operator in plan.operators]
    calls, delegated = Counter[str](), Counter[str]()
    for chain in plan.chains:
        for instruction in chain.instructions:
            called = instruction.instr_args
            if hasattr(called, "op_index"):
                calls[names[called.op_index]] += 1
            elif hasattr(called, "delegate_index"):
                delegated[plan.delegates[called.delegate_index].id] += 1
    return {
        "inputs": [_value(plan.values[index].val) for index in plan.inputs],
        "outputs": [_value(plan.values[index].val) for index in plan.outputs],
        "operators": dict(calls.most_common()) or None,
        "delegates": dict(delegated) or None,
    }


def _value(value: Any) -> str:
    """As in `float32 [1, 3, 8, 8]`; of anything but a tensor its kind."""
    if not hasattr(value, "sizes"):
        return type(value).__name__.lower()
    name = value.scalar_type.name
    return f"{_DTYPES.get(name, name.lower())} {list(value.sizes)}"
