"""Each decomposition against the operator it stands for, in eager PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgetrain.engine.distributions import DISTRIBUTIONS
from edgetrain.export import decompositions

aten = torch.ops.aten


def assert_close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_pool2d_backward(kernel: int, stride: int, padding: int, ceil_mode: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 9, 7)
    args: tuple[Any, ...] = ([kernel] * 2, [stride] * 2, [padding] * 2, [1, 1], ceil_mode)
    y, indices = aten.max_pool2d_with_indices(x, *args)
    grad = torch.randn_like(y)
    expected = aten.max_pool2d_with_indices_backward(grad, x, *args, indices)
    assert_close(decompositions.max_pool2d_backward(grad, x, *args, indices), expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_backward_1d(stride: int, dilation: int, groups: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 4, 12), torch.randn(6, 4 // groups, 3)
    args: tuple[Any, ...] = ([6], [stride], [1], [dilation], False, [0], groups, [True, True, True])
    y = F.conv1d(x, weight, None, stride, 1, dilation, groups)
    grad = torch.randn_like(y)
    expected = aten.convolution_backward(grad, x, weight, *args)
    for found, wanted in zip(
        decompositions.convolution_backward(grad, x, weight, *args), expected, strict=True
    ):
        assert_close(found, wanted)


@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 3])
@pytest.mark.parametrize("dims", [(0, 1), (2, 1), (1, -1), (-1, 0)])
def test_diagonal_scatter(dims: tuple[int, int], offset: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 5)
    source = torch.randn_like(x.diagonal(offset, *dims))
    expected = aten.diagonal_scatter(x, source, offset, *dims)
    assert_close(decompositions.diagonal_scatter(x, source, offset, *dims), expected)


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_backward_transposed(dims: int, stride: int, groups: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 4, *[7, 5][:dims]), torch.randn(4, 6 // groups, *[3, 2][:dims])
    extra = stride - 1
    settings: tuple[Any, ...] = ([stride] * dims, [1] * dims, [2] * dims, True, [extra] * dims, groups)
    grad = torch.randn_like(aten.convolution(x, weight, None, *settings))
    expected = aten.convolution_backward(grad, x, weight, [6], *settings, [True, True, True])
    found = decompositions.convolution_backward(grad, x, weight, [6], *settings, [True, True, True])
    for ours, wanted in zip(found, expected, strict=True):
        assert_close(ours, wanted)
    rest = decompositions.convolution_backward(grad, x, weight, None, *settings, [False, False, False])
    assert rest == (None, None, None)


def test_convolution_backward_2d_is_left_alone() -> None:
    x, weight = torch.randn(1, 1, 4, 4), torch.randn(1, 1, 3, 3)
    grad = F.conv2d(x, weight)
    args: tuple[Any, ...] = ([1], [1, 1], [0, 0], [1, 1], False, [0, 0], 1, [True, True, True])
    assert decompositions.convolution_backward(grad, x, weight, *args) is NotImplemented


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "divisor"),
    [
        ([2], [], [0], None),
        ([3, 2], [2, 1], [1, 0], None),
        ([3, 3], [1, 1], [1, 1], None),
        ([2, 2], [2, 2], [0, 0], 3),
    ],
)
def test_avg_pool2d_backward(
    kernel: list[int], stride: list[int], padding: list[int], divisor: int | None
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 9)
    args: tuple[Any, ...] = (kernel, stride, padding, False, True, divisor)
    grad = torch.randn_like(aten.avg_pool2d(x, *args))
    expected = aten.avg_pool2d_backward(grad, x, *args)
    assert_close(decompositions.avg_pool2d_backward(grad, x, *args), expected)


@pytest.mark.parametrize(
    ("padding", "ceil_mode", "count_include_pad"), [([1, 1], False, False), ([0, 0], True, True)]
)
def test_avg_pools_with_varying_divisor_are_left_alone(
    padding: list[int], ceil_mode: bool, count_include_pad: bool
) -> None:
    x = torch.randn(1, 1, 5, 5)
    args: tuple[Any, ...] = ([2, 2], [2, 2], padding, ceil_mode, count_include_pad, None)
    grad = aten.avg_pool2d(x, *args)
    assert decompositions.avg_pool2d_backward(grad, x, *args) is NotImplemented


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 5, 2)])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_training(shape: tuple[int, ...], affine: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape)
    weight, bias = (torch.randn(3), torch.randn(3)) if affine else (None, None)
    mean, var = torch.randn(3), torch.rand(3)
    args: tuple[Any, ...] = (weight, bias, mean, var, True, 0.1, 1e-5)
    expected = aten._native_batch_norm_legit_functional(x, *args)
    for found, wanted in zip(decompositions.batch_norm_training(x, *args), expected, strict=True):
        assert_close(found, wanted)


def test_silu_backward() -> None:
    x, grad = torch.randn(50) * 4, torch.randn(50)
    assert_close(decompositions.silu_backward(grad, x), aten.silu_backward(grad, x))


def test_new_empty_strided() -> None:
    found = decompositions.new_empty_strided(torch.ones(2), [3, 2], [1, 3])
    assert (found.shape, found.dtype, found.is_contiguous()) == ((3, 2), torch.float32, True)
    assert decompositions.new_empty_strided(torch.ones(2), [3], [1], dtype=torch.int64).dtype == torch.int64


def test_every_decomposition_is_tested_here() -> None:
    tested = {
        "max_pool2d_backward",
        "convolution_backward",
        "avg_pool2d_backward",
        "batch_norm_training",
        "silu_backward",
        "constant_pad_nd",
        "empty_permuted",
        "weight_norm_backward",
        "new_empty_strided",
        "diagonal_scatter",
        "select_backward",
        "slice_backward",
    }
    # `tests/engine/test_distributions.py` has those of random numbers.
    own = {op: f for op, f in decompositions.DECOMPOSITIONS.items() if op not in DISTRIBUTIONS}
    assert {f.__name__ for f in own.values()} == tested


@pytest.mark.parametrize(("shape", "dim"), [((4, 3, 5), 0), ((4, 3), 1), ((4, 3, 2, 2), 3), ((6,), 0)])
def test_weight_norm_backward(shape: tuple[int, ...], dim: int) -> None:
    torch.manual_seed(0)
    v, grad = torch.randn(shape), torch.randn(shape)
    g = torch.randn([size if d == dim else 1 for d, size in enumerate(shape)])
    norms = aten._weight_norm_interface(v, g, dim)[1]
    expected = aten._weight_norm_interface_backward(grad, v, g, norms, dim)
    found = decompositions.weight_norm_backward(grad, v, g, norms, dim)
    for ours, wanted in zip(found, expected, strict=True):
        assert_close(ours, wanted)


def test_empty_permuted() -> None:
    found = decompositions.empty_permuted([2, 3], [0, 1], dtype=torch.float32)
    assert found.shape == (2, 3)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("pad", [[1, 2], [0, 1, 2, 0], [-1, 2, 1, -2], [0, 0, 0, 0], [-1, -1]])
def test_constant_pad_nd(pad: list[int]) -> None:
    x = torch.randn(2, 3, 5, 6)
    found = decompositions.constant_pad_nd(x, pad, 1.5)
    assert torch.equal(found, F.pad(x, pad, value=1.5))


def test_parts() -> None:
    """Gradients of selections and slices, from the front and the back, with steps, and of nothing."""
    grad = torch.randn(3, 4)
    for dim, index in ((0, 0), (1, -1), (-1, 2), (2, 6)):
        expected = aten.select_backward(
            grad, sizes := [*grad.shape[: dim % 3], 7, *grad.shape[dim % 3 :]], dim, index
        )
        assert torch.equal(decompositions.select_backward(grad, sizes, dim, index), expected)
    for start, end, step in (
        (0, 7, 1),
        (2, 5, 1),
        (-3, 2**62, 1),
        (5, 3, 1),
        (0, 2, 1),
        (1, 7, 2),
        (-9, 3, 1),
    ):
        part = torch.randn(2, 7, 3)[:, start:end:step]
        arguments = (part, [2, 7, 3], -2, start, end, step)
        assert torch.equal(decompositions.slice_backward(*arguments), aten.slice_backward(*arguments))
