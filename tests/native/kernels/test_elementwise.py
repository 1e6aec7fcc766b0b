"""Element-wise operators and permutations of the native kernels against PyTorch's."""

from __future__ import annotations

import itertools

import pytest
import torch
from kernel_caller import KernelCaller, Onto, Out, check, eager, relative_error

SHAPES = [
    ((70001,), (70001,)), ((3, 5), (3, 5)), ((40, 33), (33,)), ((40, 33), (40, 1)), ((2, 6, 5, 7), (6, 1, 1)),
    ((6, 1, 1), (2, 6, 5, 7)), ((4, 1), (1, 9)), ((), ()), ((5, 3), ()), ((), (200, 300)), ((0, 3), (3,)),
    ((5, 60, 2, 2), (60, 1, 1)), ((60, 1, 1), (5, 60, 3, 1)), ((5, 6, 2), (5, 6, 1)), ((5, 1, 2), (5, 6, 1)),
    ((3, 1, 5, 1), (2, 5, 4)), ((1, 1), (1, 1)),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right"), SHAPES)
def test_arithmetic(kernels: KernelCaller, left: tuple[int, ...], right: tuple[int, ...]) -> None:
    a, b = torch.randn(left), torch.randn(right)
    for name in ("add", "sub", "mul", "div"):
        function = getattr(torch, name)
        for alpha in (1, 2.5) if name in ("add", "sub") else (None,):
            keywords = {} if alpha is None else {"alpha": alpha}
            expected = function(a.double(), b.double(), **keywords)
            rest = [] if alpha is None else [alpha]
            answer = kernels(f"aten::{name}.out", a, b, *rest, Out(tuple(expected.shape)))
            assert answer.kernel == "edgetrain"
            assert relative_error(answer.outputs[0], expected) <= 1e-6


@pytest.mark.parametrize("other", [(1,), (), (33,), (70, 1), (70, 33)])
@pytest.mark.parametrize("first", [True, False])
def test_arithmetic_onto_an_operand(kernels: KernelCaller, other: tuple[int, ...], first: bool) -> None:
    """As an update of a weight."""
    weight, change = torch.randn(70, 33), torch.randn(other)
    operands = (weight, change) if first else (change, weight)
    for name, rest in (("add", [0.3]), ("sub", [-0.7]), ("mul", []), ("div", [])):
        (expected,) = eager(f"aten::{name}.out", *operands, *rest, dtypes=[torch.float32])
        answer = kernels(f"aten::{name}.out", *operands, *rest, Onto(0 if first else 1))
        assert answer.kernel == "edgetrain"
        assert relative_error(answer.outputs[0], expected.double()) <= 1e-6
    scaled = kernels("aten::mul.Scalar_out", weight, 0.9, Onto(0))
    assert (scaled.kernel, torch.equal(scaled.outputs[0], weight * 0.9)) == ("edgetrain", True)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float64])
def test_arithmetic_of_other_types(kernels: KernelCaller, dtype: torch.dtype) -> None:
    a, b = torch.arange(6).to(dtype), (torch.arange(6) + 1).to(dtype)
    for name, rest in (("add", [2]), ("sub", [1]), ("mul", []), ("maximum", []), ("minimum", [])):
        for other in (b, b[:1], b[3]):
            (expected,) = eager(f"aten::{name}.out", a, other, *rest, dtypes=[dtype])
            answer = kernels(f"aten::{name}.out", a, other, *rest, Out((6,), dtype))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], expected)


def test_mixed_types_run_on_the_stock_kernel(kernels: KernelCaller) -> None:
    a, b = torch.arange(6), torch.linspace(0, 1, 6)
    answer = kernels("aten::mul.out", a, b, Out((6,)))
    assert answer.kernel == "executorch"
    assert torch.equal(answer.outputs[0], a * b)


@pytest.mark.parametrize("size", [(0,), (), (3, 17), (40000,)])
def test_arithmetic_with_a_number(kernels: KernelCaller, size: tuple[int, ...]) -> None:
    a = torch.rand(size) + 1
    for name, rest in (("add", [1.5]), ("sub", [1]), ("mul", []), ("div", [])):
        for number in (3, 0.7):
            (expected,) = eager(f"aten::{name}.Scalar_out", a.double(), number, *rest, dtypes=[torch.float64])
            answer = kernels(f"aten::{name}.Scalar_out", a, number, *rest, Out(size))
            assert answer.kernel == "edgetrain"
            assert relative_error(answer.outputs[0], expected) <= 1e-6


SPECIAL = torch.tensor([0.0, -0.0, 1, -1, torch.inf, -torch.inf, torch.nan, 1e-40, 2])


def test_special_values(kernels: KernelCaller) -> None:
    pairs = torch.cartesian_prod(SPECIAL, SPECIAL)
    a, b = pairs[:, 0].contiguous(), pairs[:, 1].contiguous()
    for name, rest in (("add", [1]), ("sub", [1]), ("mul", []), ("maximum", []), ("minimum", [])):
        (expected,) = eager(f"aten::{name}.out", a, b, *rest, dtypes=[torch.float32])
        (actual,) = kernels(f"aten::{name}.out", a, b, *rest, Out((81,))).outputs
        torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        answer = kernels(f"aten::{name}.Tensor_out", a, b, Out((81,), torch.bool))
        assert torch.equal(answer.outputs[0], getattr(torch, name)(a, b))


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons(kernels: KernelCaller, name: str) -> None:
    for dtype in (torch.float32, torch.int64, torch.bool):
        a, b = (torch.randint(0, 2, (40, 33)).to(dtype) for _ in range(2))
        for other in (b, b[:, :1], b[0], b[3, 3]):
            answer = kernels(f"aten::{name}.Tensor_out", a, other, Out((40, 33), torch.bool))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], getattr(torch, name)(a, other))
        for number in (0, 1):
            answer = kernels(f"aten::{name}.Scalar_out", a, number, Out((40, 33), torch.bool))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], getattr(torch, name)(a, number))


def test_comparisons_of_float32_with_any_number(kernels: KernelCaller) -> None:
    x = torch.tensor([0.1, 0.7, -torch.inf, torch.nan, 1e-3, 0.0])
    for name, number in itertools.product(("eq", "ne", "lt", "le", "gt", "ge"), (0.1, 0.7, 1e-3, -torch.inf)):
        check(kernels, f"aten::{name}.Scalar_out", x, number, dtype=torch.bool)


def test_numbers_that_integers_can_not_be_run_on_the_stock_kernel(kernels: KernelCaller) -> None:
    assert kernels("aten::gt.Scalar_out", torch.arange(3), 0.5, Out((3,), torch.bool)).kernel == "executorch"


def test_logic(kernels: KernelCaller) -> None:
    for dtype in (torch.bool, torch.int64, torch.float32):
        a, b = torch.randint(0, 3, (4, 5)).to(dtype), torch.randint(0, 2, (5,)).to(dtype)
        names = ["logical_and.out", "logical_or.out", "logical_xor.out"]
        if not dtype.is_floating_point:
            names += ["bitwise_and.Tensor_out", "bitwise_or.Tensor_out", "bitwise_xor.Tensor_out"]
        for name in names:
            result = dtype if name.startswith("bitwise") else torch.bool
            (expected,) = eager(f"aten::{name}", a, b, dtypes=[result])
            answer = kernels(f"aten::{name}", a, b, Out((4, 5), result))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], expected)


@pytest.mark.parametrize("count", [0, 1, 7, 100, 50000])
def test_relu_le_where_and_copies(kernels: KernelCaller, count: int) -> None:
    x, y = torch.randn(count), torch.randn(count)
    x[::5] = 0
    x[::7] = torch.nan

    def same(answer: object, expected: torch.Tensor) -> None:
        assert answer.kernel == "edgetrain"  # type: ignore[attr-defined]
        (actual,) = answer.outputs  # type: ignore[attr-defined]
        torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)

    same(kernels("aten::relu.out", x, Out((count,))), x.relu())
    same(kernels("aten::alias_copy.out", x, Out((count,))), x)
    whole = torch.arange(count)
    same(kernels("aten::alias_copy.out", whole, Out((count,), torch.int64)), whole)
    for bound in (0, -0.5, 1):
        same(kernels("aten::le.Scalar_out", x, bound, Out((count,), torch.bool)), x <= bound)
    mask = y <= 0
    for yes, no in itertools.product((x, torch.tensor(2.0)), (y, torch.tensor(-1.0))):
        same(kernels("aten::where.self_out", mask, yes, no, Out((count,))), torch.where(mask, yes, no))


def test_where(kernels: KernelCaller) -> None:
    for dtype in (torch.float32, torch.int64, torch.bool):
        x, y = torch.randint(0, 9, (4, 3)).to(dtype), torch.randint(0, 9, (3,)).to(dtype)
        mask = torch.rand(4, 3) < 0.5
        for condition in (mask, mask[:, :1], mask[0], mask[1, 1]):
            for yes, no in itertools.permutations((x, y, x[0, 0], x[:, :1]), 2):
                expected = torch.where(condition, yes, no)
                answer = kernels(
                    "aten::where.self_out", condition, yes, no, Out(tuple(expected.shape), dtype)
                )
                assert answer.kernel == "edgetrain"
                assert torch.equal(answer.outputs[0], expected)


@pytest.mark.parametrize(
    "size",
    [
        (512, 300),
        (1, 9),
        (9, 1),
        (17, 23),
        (3, 4, 5),
        (2, 3, 1, 5),
        (4, 3, 8, 9),
        (0, 3),
        (6,),
        (2, 3, 4, 2, 3),
    ],
)
def test_permute(kernels: KernelCaller, size: tuple[int, ...]) -> None:
    x = torch.randn(size)
    for order in itertools.permutations(range(len(size))):
        expected = x.permute(order).contiguous()
        negative = [dim - len(size) for dim in order]
        for dims in (list(order), negative):
            answer = kernels("aten::permute_copy.out", x, dims, Out(tuple(expected.shape)))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], expected)
