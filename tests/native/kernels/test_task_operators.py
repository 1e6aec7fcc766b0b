"""What losses, metrics and attention masks call, against PyTorch's.

The shapes are those of the tasks' scores: classes [B, K], pixels [B, K, H, W] and tokens [B, T, K]. No call
may need ExecuTorch's own kernels, which take 10 MB of a device.
"""

from __future__ import annotations

import itertools

import pytest
import torch
from kernel_caller import KernelCaller, Out, check, relative_error
from torch import Tensor

# Scores, and the dimension of their classes.
TASKS = [
    ((5, 10), 1),
    ((1, 2), 1),
    ((2, 5, 16, 12), 1),
    ((3, 21, 7, 1), 1),
    ((4, 6, 11), -1),
    ((1, 9, 300), -1),
]
IGNORED = -100


def scores(size: tuple[int, ...]) -> Tensor:
    return torch.randn(size)


def targets(size: tuple[int, ...], dim: int) -> Tensor:
    """A class per sample, pixel or token; some are ignored."""
    without = list(size)
    classes = without.pop(dim)
    drawn = torch.randint(0, classes, without)
    return torch.where(torch.rand(without) < 0.2, IGNORED, drawn)


@pytest.mark.parametrize(("size", "dim"), TASKS)
def test_predictions(kernels: KernelCaller, size: tuple[int, ...], dim: int) -> None:
    for keep in (False, True):
        check(kernels, "aten::argmax.out", scores(size), dim, keep, dtype=torch.int64)


@pytest.mark.parametrize(("size", "dim"), TASKS)
def test_comparisons_and_masks(kernels: KernelCaller, size: tuple[int, ...], dim: int) -> None:
    target, other = targets(size, dim), targets(size, dim)
    for name in ("eq", "ne", "ge", "gt", "le", "lt"):
        check(kernels, f"aten::{name}.Tensor_out", target, other, dtype=torch.bool)
        check(kernels, f"aten::{name}.Scalar_out", target, IGNORED, dtype=torch.bool)
        check(kernels, f"aten::{name}.Tensor_out", scores(size), torch.tensor(0.3), dtype=torch.bool)
        check(kernels, f"aten::{name}.Scalar_out", scores(size), 0.3, dtype=torch.bool)
    known, same = target != IGNORED, target == other
    for name in ("logical_and.out", "bitwise_and.Tensor_out", "logical_or.out", "bitwise_or.Tensor_out"):
        check(kernels, f"aten::{name}", known, same, dtype=torch.bool)
    for name in ("logical_not.out", "bitwise_not.out"):
        check(kernels, f"aten::{name}", known, dtype=torch.bool)
    check(kernels, "aten::where.self_out", known, target, torch.tensor(0), dtype=torch.int64)
    check(kernels, "aten::where.self_out", known, torch.tensor(0), target, dtype=torch.int64)
    check(kernels, "aten::where.self_out", known, torch.tensor(1.0), torch.tensor(0.0))
    check(kernels, "aten::any.out", known, -1, True, dtype=torch.bool)


@pytest.mark.parametrize(("size", "dim"), TASKS)
def test_counts(kernels: KernelCaller, size: tuple[int, ...], dim: int) -> None:
    """A count per class, as intersections, unions and confusion matrices are made of."""
    target = targets(size, dim)
    known, flat = target != IGNORED, target.clamp(min=0).flatten()
    for source, dtype in itertools.product((known, target), (torch.float32, torch.int64)):
        for operator in ("aten::_to_copy.out", "dim_order_ops::_to_dim_order_copy.out"):
            answer = kernels(operator, source, False, None, Out(tuple(source.shape), dtype))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], source.to(dtype))
    for dims in ([], [0], [-1], list(range(1, target.dim()))):
        for of in (known, target):
            check(kernels, "aten::sum.IntList_out", of, dims, False, None, dtype=torch.int64)
        check(kernels, "aten::sum.IntList_out", known.float(), dims, True, None)
    for dtype in (torch.float32, torch.int64):
        ones, zeros = known.flatten().to(dtype), torch.zeros(size[dim], dtype=dtype)
        check(kernels, "aten::full.out", [size[dim]], 0, dtype=dtype)
        check(kernels, "aten::scatter_add.out", zeros, 0, flat, ones, dtype=dtype)
        check(kernels, "aten::index_put.out", zeros, (flat,), ones, True, dtype=dtype)
        check(kernels, "aten::clamp.out", ones, 1, None, dtype=dtype)


@pytest.mark.parametrize(("size", "dim"), TASKS)
def test_picking_the_targets_class(kernels: KernelCaller, size: tuple[int, ...], dim: int) -> None:
    place = targets(size, dim).clamp(min=0).unsqueeze(dim)
    check(kernels, "aten::gather.out", scores(size), dim, place, False)
    check(kernels, "aten::scatter.value_out", torch.zeros(size), dim, place, -1.0)
    check(kernels, "aten::scatter_add.out", torch.zeros(size), dim, place, torch.randn(place.shape))


@pytest.mark.parametrize(("size", "dim"), TASKS)
def test_gradient_of_cross_entropy(kernels: KernelCaller, size: tuple[int, ...], dim: int) -> None:
    """log_softmax, and its gradient as the joint graph computes it: grad - exp(output) * sum(grad)."""

    def call(operator: str, *arguments: object, size: tuple[int, ...] = size) -> Tensor:
        answer = kernels(operator, *arguments, Out(size))
        assert answer.kernel == "edgetrain", operator
        return answer.outputs[0]

    x, grad = scores(size), torch.randn(size)
    output = call("aten::_log_softmax.out", x, dim, False)
    reduced = tuple(torch.empty(size, device="meta").sum(dim, keepdim=True).shape)
    total = call("aten::sum.IntList_out", grad, [dim], True, None, size=reduced)
    product = call("aten::mul.out", call("aten::exp.out", output), total)
    actual = call("aten::sub.out", grad, product, 1)
    exact = torch.ops.aten._log_softmax_backward_data(
        grad.double(), torch.log_softmax(x.double(), dim), dim, torch.float64
    )
    assert relative_error(output, torch.log_softmax(x.double(), dim)) <= 1e-6
    assert relative_error(actual, exact) <= 1e-6


def test_numbers_alone(kernels: KernelCaller) -> None:
    """Tensors without dimensions, as means of losses and scores of metrics are."""
    a, b = torch.tensor(3.0), torch.tensor(7.0)
    for name, rest in (
        ("add", [1]),
        ("sub", [1]),
        ("mul", []),
        ("div", []),
        ("maximum", []),
        ("minimum", []),
    ):
        check(kernels, f"aten::{name}.out", a, b, *rest)
    for name, rest in (("add", [1]), ("sub", [1]), ("mul", [])):
        check(kernels, f"aten::{name}.out", a.long(), b.long(), *rest, dtype=torch.int64)
    for operator, arguments in (
        ("full.out", [[], 0.0]),
        ("full_like.out", [a, 1.0, None]),
        ("scalar_tensor.out", [0.0]),
        ("clamp.out", [a, 5.0, None]),
        ("view_copy.out", [torch.tensor([4.0]), []]),
        ("expand_copy.out", [a, [2, 3], False]),
        ("unsqueeze_copy.out", [a, 0]),
        ("squeeze_copy.dims_out", [torch.randn(1, 1), [0, 1]]),
        ("select_copy.int_out", [torch.randn(3), 0, 1]),
        ("cat.out", [[torch.randn(1), torch.randn(2)], 0]),
        ("neg.out", [a]),
    ):
        check(kernels, f"aten::{operator}", *arguments)


@pytest.mark.parametrize("count", [1, 6, 65])
def test_causal_mask(kernels: KernelCaller, count: int) -> None:
    """[T, T], zero up to the diagonal and -inf beyond, from ranges as the lowered graph makes it."""

    def call(operator: str, *arguments: object, out: Out) -> Tensor:
        answer = kernels(operator, *arguments, out)
        assert answer.kernel == "edgetrain", operator
        return answer.outputs[0]

    positions = call("aten::arange.start_out", 0, count, 1, out=Out((count,), torch.int64))
    columns = call("aten::unsqueeze_copy.out", positions, 0, out=Out((1, count), torch.int64))
    rows = call("aten::unsqueeze_copy.out", positions, 1, out=Out((count, 1), torch.int64))
    ahead = call("aten::sub.out", columns, rows, 1, out=Out((count, count), torch.int64))
    seen = call("aten::le.Scalar_out", ahead, 0, out=Out((count, count), torch.bool))
    every = torch.ones(count, count, dtype=torch.bool)
    seen = call("aten::logical_and.out", seen, every, out=Out((count, count), torch.bool))
    numbers = torch.tensor(0.0), torch.tensor(-torch.inf)
    mask = call("aten::where.self_out", seen, *numbers, out=Out((count, count)))
    assert torch.equal(mask, torch.full((count, count), -torch.inf).triu(1))
    attention = call("aten::add.out", torch.randn(2, 3, count, count), mask, 1, out=Out((2, 3, count, count)))
    hidden = call("aten::eq.Scalar_out", attention, -torch.inf, out=Out((2, 3, count, count), torch.bool))
    assert torch.equal(hidden[0, 0], every.triu(1))
