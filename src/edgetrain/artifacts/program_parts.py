"""Which part of a training step each instruction of a program belongs to: forward, backward or update.

A program has one list of instructions; nothing in it says where forward ends. But its values say what is made
of what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from .contract import STEP_METHODS, Contract, Method, Role
from .program import deserialize

Part = Literal["forward", "backward", "update"]

# Forward is what these depend on. Running statistics are made on the way.
_FORWARD: tuple[Role, ...] = ("loss", "prediction", "output", "metric", "buffer")
# The gradient of a weight, added to the optimizer's state as it is multiplied: the work is backward's.
_PRODUCTS = ("aten::addmm", "aten::baddbmm")


@dataclass(frozen=True)
class Call:
    """An instruction that computes.

    Attributes:
        operator: as in aten::add.out; of a part that a backend runs, the backend's name.
        is_delegated: whether a backend runs it.
        reads, writes: numbers of values; a backend's reads hold what it writes, too.
    """

    operator: str
    is_delegated: bool
    reads: frozenset[int]
    writes: frozenset[int]


@dataclass(frozen=True)
class StepCall:
    """An instruction of a training step."""

    operator: str
    is_delegated: bool
    part: Part


def step_calls(program: bytes, contract: Contract) -> dict[str, dict[int, StepCall]]:
    """The instructions of all methods that steps are made of, by their numbers.

    Raises:
        InputError: the program is damaged.
    """
    wanted = {*STEP_METHODS, contract.gradient_method}
    return {
        plan.name: _in_parts(plan, contract.methods[plan.name])
        for plan in deserialize(program).program.execution_plan
        if plan.name in wanted and plan.name in contract.methods
    }


def _in_parts(plan: Any, method: Method) -> dict[int, StepCall]:
    calls = _calls(plan)
    if not method.given("loss"):  # the update of a batch in parts, or a backbone
        alone: Part = "update" if method.taken("hyperparameter") else "forward"
        return {number: StepCall(c.operator, c.is_delegated, alone) for number, c in calls.items()}
    forward = _made_into({plan.outputs[a.index] for role in _FORWARD for a in method.given(role)}, calls)
    own = {plan.inputs[a.index] for a in method.taken("hyperparameter")}
    own |= {plan.outputs[a.index] for a in method.given("optimizer_state")}
    update = _made_of(own, {number: call for number, call in calls.items() if number not in forward})

    def part(number: int) -> Part:
        return "forward" if number in forward else "update" if number in update else "backward"

    return {number: StepCall(c.operator, c.is_delegated, part(number)) for number, c in calls.items()}


def _made_into(ends: set[int], calls: dict[int, Call]) -> set[int]:
    """What values depend on. Values are written in place as well, so the order counts."""
    needed, found = set(ends), set[int]()
    for number, call in reversed(calls.items()):
        if call.writes & needed:
            found.add(number)
            needed = (needed - call.writes) | call.reads
    return found


def _made_of(values: set[int], calls: dict[int, Call]) -> set[int]:
    """What depends on values, without products of matrices."""
    known, found = set(values), set[int]()
    for number, call in calls.items():
        if call.reads & known:
            known |= call.writes
            if call.operator.partition(".")[0] not in _PRODUCTS:
                found.add(number)
    return found


def _calls(plan: Any) -> dict[int, Call]:
    from executorch.exir.schema import DelegateCall, KernelCall

    found: dict[int, Call] = {}
    (chain,) = plan.chains
    for number, instruction in enumerate(chain.instructions):
        call = instruction.instr_args
        if isinstance(call, DelegateCall):
            values = frozenset(call.args)
            found[number] = Call(plan.delegates[call.delegate_index].id, True, values, values)
        elif isinstance(call, KernelCall):
            operator = plan.operators[call.op_index]
            name = f"{operator.name}.{operator.overload}" if operator.overload else operator.name
            reads, writes = _split(plan, call.args)
            found[number] = Call(name, False, reads, writes)
    return found


def _split(plan: Any, arguments: list[int]) -> tuple[frozenset[int], frozenset[int]]:
    """What a call reads and what it writes. Its results stand last, after the places they are written to:
    several as a list; an operator that has no such place has its result alone."""
    result = arguments[-1]
    items = list(getattr(plan.values[result].val, "items", []))
    count = len(items) or int(arguments[-2:-1] == [result])
    reads = [value for value in arguments[: -1 - count] if value >= 0]
    lists = [item for value in reads for item in getattr(plan.values[value].val, "items", [])]
    return frozenset([*reads, *lists]), frozenset([result, *items])
