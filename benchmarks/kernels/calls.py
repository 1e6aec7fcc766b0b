"""The operator calls of a training step, read from the exported program."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from executorch.exir import schema

from edgetrain.upstream.files import read_program

from ..native_build import Out

# The learning rate of the calls; times are the same with any.
_RATE = 0.01
_DTYPES = {
    schema.ScalarType.FLOAT: torch.float32,
    schema.ScalarType.LONG: torch.int64,
    schema.ScalarType.BOOL: torch.bool,
    schema.ScalarType.BYTE: torch.float32,  # an output of no elements, where none was asked for
}


@dataclass(frozen=True)
class In:
    """A tensor that a call reads."""

    size: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Call:
    """An operator with its arguments in the schema's order: Ins, numbers, bools, tuples, None, Outs."""

    operator: str
    arguments: tuple[Any, ...]

    @property
    def inputs(self) -> list[In]:
        return [argument for argument in self.arguments if isinstance(argument, In)]

    @property
    def outputs(self) -> list[Out]:
        return [argument for argument in self.arguments if isinstance(argument, Out)]

    @property
    def name(self) -> str:
        return self.operator.partition("::")[2].partition(".")[0]

    @property
    def sizes(self) -> str:
        """The tensors it reads, as in 8x3x64x64 32x3x3x3, and what else decides its time."""
        tensors = ["x".join(map(str, tensor.size)) or "1" for tensor in self.inputs]
        lists = [str(list(a)).replace(" ", "") for a in self.arguments if isinstance(a, tuple) and a]
        return " ".join([*tensors, *dict.fromkeys(lists)])

    @property
    def operations(self) -> int:
        """Multiplications and additions of a convolution or matrix product, done the direct way; else 0."""
        if self.name == "convolution":
            return 2 * _count(self.outputs[0].size) * _count(self.inputs[1].size[1:])
        if self.name == "convolution_backward":
            asked = sum(mask for mask in self.arguments[10][:2])
            return asked * 2 * _count(self.inputs[0].size) * _count(self.inputs[2].size[1:])
        if self.name in ("mm", "addmm", "bmm", "linear"):
            left = self.inputs[1 if self.name == "addmm" else 0]
            return 2 * _count(self.outputs[0].size) * left.size[-1]
        return 0

    @property
    def bytes(self) -> int:
        """Of all tensors, each counted once."""
        return sum(_count(t.size) * t.dtype.itemsize for t in (*self.inputs, *self.outputs))


def read_calls(program: Path) -> Counter[Call]:
    """The calls of the method `train` on the largest batch, with how often each occurs in a step."""
    plans = read_program(program.read_bytes()).program.execution_plan
    plan = next(plan for plan in plans if plan.name == "train")
    calls: Counter[Call] = Counter()
    # Places of the numbers a step works out: the batch size, and those made of the learning rate.
    numbers: dict[int, float] = {}
    for instruction in plan.chains[0].instructions:
        kernel = instruction.instr_args
        if not isinstance(kernel, schema.KernelCall):
            continue
        operator = plan.operators[kernel.op_index]
        if operator.name == "aten::sym_size":
            tensor, dim, result = kernel.args
            numbers[result] = plan.values[tensor].val.sizes[plan.values[dim].val.int_val]
        elif operator.name == "aten::_local_scalar_dense":
            numbers[kernel.args[-1]] = _RATE
        elif operator.name.startswith("executorch_prim::"):
            if any(numbers.get(place) == _RATE for place in kernel.args):
                numbers[kernel.args[-1]] = _RATE
        else:
            calls[_call(plan, operator, kernel.args, numbers)] += 1
    return calls


def _call(plan: Any, operator: Any, places: list[int], numbers: dict[int, float]) -> Call:
    # What the call returns comes last, which is its output once more, or the list of all of them.
    last = plan.values[places[-1]].val
    returned = last.items if isinstance(last, schema.TensorList) else [places[-1]]
    count = len(returned)
    assert places[-1 - count : -1] == list(returned), f"{operator.name} returns something new"
    arguments = [_argument(plan, place, numbers) for place in places[: -1 - count]]
    outputs = [_argument(plan, place, numbers) for place in returned]
    name = f"{operator.name}.{operator.overload}" if operator.overload else operator.name
    return Call(name, (*arguments, *(Out(o.size, o.dtype) for o in outputs)))


def _argument(plan: Any, place: int, numbers: dict[int, float]) -> Any:
    value = plan.values[place].val
    if place in numbers:
        return numbers[place]
    if isinstance(value, schema.Tensor):
        return In(tuple(value.sizes), _DTYPES[value.scalar_type])
    if isinstance(value, schema.IntList):
        return tuple(_argument(plan, item, numbers) for item in value.items)
    if isinstance(value, (schema.BoolList, schema.DoubleList)):
        return tuple(value.items)
    if isinstance(value, schema.Null):
        return None
    if isinstance(value, schema.TensorList):
        return tuple(_argument(plan, item, numbers) for item in value.items)
    (only,) = vars(value).values()  # Int, Double, Bool, String
    return only


def _count(size: tuple[int, ...]) -> int:
    product = 1
    for length in size:
        product *= length
    return product
