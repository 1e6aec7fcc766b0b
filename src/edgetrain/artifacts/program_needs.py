"""What a program asks of a runner that is built for it alone: operators, types of elements, convolutions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .fixed_draws import kernel_calls
from .program import deserialize

#: Of operators that PyTorch and ExecuTorch don't have, and only edgetrain's kernels can run.
OWN_NAMESPACE = "edgetrain"
# Those that native/kernels has kernels for; by ExecuTorch's names.
_TYPES = {
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "LONG": "int64",
    "INT": "int32",
    "BYTE": "uint8",
    "BOOL": "bool",
}
# Where stride stands among the arguments. Padding, dilation, transposed, output padding and groups follow.
_CONVOLUTIONS = {"aten::convolution.out": 3, "aten::convolution_backward.out": 4}


@dataclass(frozen=True)
class ProgramNeeds:
    """What one or more programs call.

    Attributes:
        operators: as in aten::mm.out, sorted.
        types: of elements, as in float32, sorted.
        convolutions: the numbers of `Convolution` in native/kernels/compute.h, with the most images; sorted.
        backends: that parts of them are delegated to, as in XnnpackBackend; sorted.
    """

    operators: tuple[str, ...]
    types: tuple[str, ...]
    convolutions: tuple[tuple[int, ...], ...]
    backends: tuple[str, ...] = ()


def own_operators(operators: Iterable[str]) -> list[str]:
    """Those of a program's operators that only edgetrain's kernels can run."""
    return sorted({name for name in operators if name.startswith(f"{OWN_NAMESPACE}::")})


def needs_of(programs: Iterable[bytes]) -> ProgramNeeds:
    """What a runner for these .pte files must have.

    Raises:
        InputError: one of them is damaged.
    """
    operators: set[str] = set()
    types: set[str] = set()
    convolutions: set[tuple[int, ...]] = set()
    backends: set[str] = set()
    for program in programs:
        for plan in deserialize(program).program.execution_plan:
            names = [f"{op.name}.{op.overload}" if op.overload else op.name for op in plan.operators]
            operators.update(names)
            backends.update(delegate.id for delegate in plan.delegates)
            types.update(_types(plan.values))
            for call in kernel_calls(plan):
                stride = _CONVOLUTIONS.get(names[call.op_index])
                if stride is None:
                    continue
                shape = _convolution([plan.values[i].val for i in call.args], stride, plan.values)
                if shape is not None:
                    convolutions.add(shape)
    return ProgramNeeds(
        tuple(sorted(operators)), tuple(sorted(types)), tuple(sorted(convolutions)), tuple(sorted(backends))
    )


def _types(values: list[Any]) -> Iterator[str]:
    for value in values:
        scalar_type = getattr(value.val, "scalar_type", None)
        # What is not asked of an operator is an output without elements.
        if scalar_type is not None and scalar_type.name in _TYPES and 0 not in value.val.sizes:
            yield _TYPES[scalar_type.name]


def _convolution(arguments: list[Any], stride_at: int, values: list[Any]) -> tuple[int, ...] | None:
    """Of a call; None where it is none of those that native/kernels covers."""

    def pair(position: int, missing: int) -> list[int]:
        """Of a list with a number for each dimension, or one for all of them; (y, x)."""
        numbers = [values[item].val.int_val for item in arguments[position].items]
        if one_dimensional:
            return [missing, *numbers]
        return numbers * 2 if len(numbers) == 1 else numbers

    # Both have (input, weight, bias or its sizes) right before the stride.
    image, weight = (list(tensor.sizes) for tensor in arguments[stride_at - 3 : stride_at - 1])
    one_dimensional = len(image) == 3
    if arguments[stride_at + 3].bool_val or len(image) not in (3, 4):
        return None
    if one_dimensional:
        image.insert(2, 1)
        weight.insert(2, 1)
    stride, padding, dilation = pair(stride_at, 1), pair(stride_at + 1, 0), pair(stride_at + 2, 1)
    out = [
        (image[2 + i] + 2 * padding[i] - dilation[i] * (weight[2 + i] - 1) - 1) // stride[i] + 1
        for i in range(2)
    ]
    groups = arguments[stride_at + 5].int_val
    return (*image, weight[0], *out, *weight[2:], *stride, *padding, *dilation, groups)
