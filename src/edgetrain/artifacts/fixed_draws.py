"""Programs whose random numbers are the same ones in every call, so that they can be compared with eager
PyTorch given the same.

A number depends on its place in its tensor alone. Where a mask is drawn for each sample, samples so differ in
what is dropped, in batches of any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    import torch

_GOLDEN = (5**0.5 - 1) / 2
_FLOAT = 6  # of the runtime's scalar types


def even(shape: Sequence[int]) -> torch.Tensor:
    """What stands for `rand`: numbers in (0, 1), float32, multiples of the golden ratio without their whole
    part. Any few that follow each other lie far apart."""
    import torch

    places = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)
    return ((0.5 + places * _GOLDEN) % 1).clamp(2**-24, 1 - 2**-24).float().reshape(list(shape))


def normal(shape: Sequence[int]) -> torch.Tensor:
    """What stands for `randn`: the quantiles of these numbers, float32."""
    import torch

    return torch.special.ndtri(even(shape).double()).float()


# By operator.
DRAWS = {"aten::rand": even, "aten::randn": normal}


def fix_draws(program: Any) -> None:
    """Has a program of ExecuTorch's schema take its random numbers from constants, in place: those of its
    largest batch, of which a call takes as many as it has samples.

    Raises:
        InputError: it draws a tensor of another shape than [batch, constants...].
    """
    for plan in program.execution_plan:
        for call in kernel_calls(plan):
            numbers = DRAWS.get(plan.operators[call.op_index].name)
            if numbers is None:
                continue
            length, out = call.args[0], call.args[-1]
            shape = [int(size) for size in plan.values[out].val.sizes]
            lengths = list(plan.values[length].val.items)
            known = [getattr(plan.values[index].val, "int_val", None) for index in lengths]
            if known[1:] != shape[1:] or int(plan.values[out].val.scalar_type) != _FLOAT:
                raise InputError("the program draws random numbers of a shape or type that can't be fixed")
            if shape:
                start, step = _number(plan, 0), _number(plan, 1)
                constant = _constant(program, plan, numbers(shape))
                call.op_index = _operator(plan, "aten::slice_copy", "Tensor_out")
                call.args = [constant, start, start, lengths[0], step, out, out]
            else:
                value = _scalar(plan, float(numbers([1])))
                call.op_index = _operator(plan, "aten::full", "out")
                call.args = [length, value, out, out]


def kernel_calls(plan: Any) -> Iterator[Any]:
    """The calls of a method, in their order."""
    from executorch.exir.schema import KernelCall

    for chain in plan.chains:
        for instruction in chain.instructions:
            if isinstance(instruction.instr_args, KernelCall):
                yield instruction.instr_args


def _number(plan: Any, value: int) -> int:
    from executorch.exir.schema import EValue, Int

    plan.values.append(EValue(Int(value)))
    return len(plan.values) - 1


def _scalar(plan: Any, value: float) -> int:
    from executorch.exir.schema import Double, EValue

    plan.values.append(EValue(Double(value)))
    return len(plan.values) - 1


def _operator(plan: Any, name: str, overload: str) -> int:
    from executorch.exir.schema import Operator

    wanted = Operator(name, overload)
    if wanted not in plan.operators:
        plan.operators.append(wanted)
    return int(plan.operators.index(wanted))


def _constant(program: Any, plan: Any, numbers: torch.Tensor) -> int:
    from executorch.exir.schema import Buffer, EValue, ScalarType, Tensor, TensorShapeDynamism

    program.constant_buffer.append(Buffer(storage=numbers.numpy().tobytes()))
    value = Tensor(
        scalar_type=ScalarType.FLOAT,
        storage_offset=0,
        sizes=list(numbers.shape),
        dim_order=list(range(numbers.dim())),
        requires_grad=False,
        layout=0,
        data_buffer_idx=len(program.constant_buffer) - 1,
        allocation_info=None,
        shape_dynamism=TensorShapeDynamism.STATIC,
    )
    plan.values.append(EValue(value))
    return len(plan.values) - 1
