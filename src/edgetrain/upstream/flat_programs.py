"""The tables of a .pte where they lie in its bytes, by ExecuTorch's generated readers (checked with 1.5.1).

`upstream.files` takes a program apart and writes it anew, which takes seconds for thousands of calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FlatCall:
    """A call of a kernel: the operator, as in `aten::add`, and its arguments' indices among the values."""

    operator: str
    args: list[int]


@dataclass(frozen=True)
class FlatPlan:
    """A method of a program."""

    calls: list[FlatCall]
    _plan: Any

    def place_of_float(self, value: int) -> int | None:
        """Where in the program that number lies, as a float64; None if it is another kind of value, or 0.0,
        which isn't stored."""
        from executorch.exir._serialize.generated.executorch_flatbuffer.Double import Double
        from executorch.exir._serialize.generated.executorch_flatbuffer.KernelTypes import KernelTypes

        entry = self._plan.Values(value)
        if entry.ValType() != KernelTypes.Double:
            return None
        number, table = Double(), entry.Val()
        number.Init(table.Bytes, table.Pos)
        field = number._tab.Offset(4)
        return number._tab.Pos + field if field else None


def flat_plans(program: bytes | bytearray) -> list[FlatPlan]:
    """The methods of a .pte.

    Raises:
        Exception: of many types; it is damaged.
    """
    from executorch.exir._serialize._flatbuffer_program import _patch_generated_flatbuffer_aliases
    from executorch.exir._serialize.generated.executorch_flatbuffer.InstructionArguments import (
        InstructionArguments,
    )
    from executorch.exir._serialize.generated.executorch_flatbuffer.KernelCall import KernelCall
    from executorch.exir._serialize.generated.executorch_flatbuffer.Program import Program

    _patch_generated_flatbuffer_aliases()
    root, plans = Program.GetRootAs(program, 0), []
    for plan in (root.ExecutionPlan(index) for index in range(root.ExecutionPlanLength())):
        names = [plan.Operators(index).Name().decode() for index in range(plan.OperatorsLength())]
        calls = []
        for chain in (plan.Chains(index) for index in range(plan.ChainsLength())):
            for instruction in (chain.Instructions(index) for index in range(chain.InstructionsLength())):
                if instruction.InstrArgsType() == InstructionArguments.KernelCall:
                    call, table = KernelCall(), instruction.InstrArgs()
                    call.Init(table.Bytes, table.Pos)
                    calls.append(FlatCall(names[call.OpIndex()], call.ArgsAsNumpy().tolist()))
        plans.append(FlatPlan(calls, plan))
    return plans
