"""Reductions of the native kernels against PyTorch's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from kernel_caller import KernelCaller, Out, relative_error

SIZES = [(5, 700), (1, 10), (3, 4, 6, 5), (2, 1, 9), (70000,), (), (3, 0), (2, 3, 2, 3, 2)]


def choices(size: tuple[int, ...]) -> Iterator[tuple[list[int], bool]]:
    """Dimensions to reduce, none for all, and whether they stay."""
    for count in range(len(size) + 1):
        for dims in itertools.combinations(range(len(size)), count):
            for keep in (False, True):
                yield [dim - len(size) if keep else dim for dim in dims], keep


@pytest.mark.parametrize("size", SIZES)
def test_sums_and_means(kernels: KernelCaller, size: tuple[int, ...]) -> None:
    x = torch.randn(size, generator=torch.Generator().manual_seed(0)) + 0.1
    for dims, keep in choices(size):
        for name, function in (("sum.IntList_out", torch.sum), ("mean.out", torch.mean)):
            expected = function(x.double(), dim=dims or None, keepdim=keep)
            answer = kernels(f"aten::{name}", x, dims, keep, None, Out(tuple(expected.shape)))
            assert answer.kernel == "edgetrain"
            if 0 in size:
                torch.testing.assert_close(answer.outputs[0], expected.float(), equal_nan=True)
            else:
                assert relative_error(answer.outputs[0], expected) <= 1e-5


@pytest.mark.parametrize("size", SIZES)
def test_mean_of_all(kernels: KernelCaller, size: tuple[int, ...]) -> None:
    x = torch.randn(size) + 0.1
    answer = kernels("aten::mean.dtype_out", x, None, Out(()))
    assert answer.kernel == "edgetrain"
    torch.testing.assert_close(
        answer.outputs[0], x.double().mean().float(), rtol=1e-5, atol=0, equal_nan=True
    )


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.int32])
def test_sums_of_integers(kernels: KernelCaller, dtype: torch.dtype) -> None:
    x = torch.randint(0, 2, (3, 4, 5)).to(dtype)
    for dims, keep in choices((3, 4, 5)):
        expected = x.sum(dims or None, keepdim=keep)
        out = Out(tuple(expected.shape), torch.int64)
        answer = kernels("aten::sum.IntList_out", x, dims, keep, None, out)
        assert answer.kernel == "edgetrain"
        assert torch.equal(answer.outputs[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
def test_extremes(kernels: KernelCaller, dtype: torch.dtype) -> None:
    x = torch.randint(-50, 50, (3, 4, 5)).to(dtype)
    if dtype.is_floating_point:
        x[0, 1, 2] = torch.nan
        x[1] = -torch.inf
        x[2, 0] = torch.inf
    for dims, keep in choices((3, 4, 5)):
        for name in ("amax", "amin"):
            expected = getattr(torch, name)(x, dims, keepdim=keep)
            answer = kernels(f"aten::{name}.out", x, dims, keep, Out(tuple(expected.shape), dtype))
            assert answer.kernel == "edgetrain"
            torch.testing.assert_close(answer.outputs[0], expected, rtol=0, atol=0, equal_nan=True)


@pytest.mark.filterwarnings("ignore:var..:UserWarning")
@pytest.mark.parametrize("size", SIZES)
def test_variances(kernels: KernelCaller, size: tuple[int, ...]) -> None:
    x = torch.randn(size) + 3
    for (dims, keep), correction in itertools.product(choices(size), (None, 0, 1.5)):
        expected = torch.var(x.double(), dims or None, correction=correction, keepdim=keep).float()
        out = Out(tuple(expected.shape))
        answer = kernels("aten::var.correction_out", x, dims, correction, keep, out)
        assert answer.kernel == "edgetrain"
        torch.testing.assert_close(answer.outputs[0], expected, rtol=1e-6, atol=0, equal_nan=True)
    answer = kernels("aten::var.correction_out", x.double(), [], 0, False, Out((), torch.float64))
    expected = torch.var(x.double(), correction=0)
    torch.testing.assert_close(answer.outputs[0], expected, rtol=1e-12, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.uint8])
def test_extremes_and_where_they_are(kernels: KernelCaller, dtype: torch.dtype) -> None:
    x = torch.randint(0, 5, (3, 70, 5)).to(dtype)  # with several equal ones
    if dtype.is_floating_point:
        x[0, 1, 2] = x[0, 4, 2] = torch.nan
        x[1, :, 0] = -torch.inf
    for dim, keep in itertools.product((0, 1, -1), (False, True)):
        for name in ("max.dim_max", "min.dim_min"):
            expected = getattr(torch, name[:3])(x, dim, keepdim=keep)
            outs = [Out(tuple(expected[0].shape), kind) for kind in (dtype, torch.int64)]
            answer = kernels(f"aten::{name}", x, dim, keep, *outs)
            assert answer.kernel == "edgetrain"
            for actual, right in zip(answer.outputs, expected, strict=True):
                torch.testing.assert_close(actual, right, rtol=0, atol=0, equal_nan=True)


def test_any_and_all(kernels: KernelCaller) -> None:
    mostly = torch.rand(9, 6) < 0.2
    for x in (mostly, ~mostly, mostly[:, :1], torch.randint(0, 2, (4, 6)), torch.zeros(3, 0)):
        for name in ("any", "all"):
            function = getattr(torch, name)
            answer = kernels(f"aten::{name}.all_out", x, Out((), torch.bool))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], function(x))
            for dim, keep in ((0, False), (-1, True)):
                expected = function(x, dim, keepdim=keep)
                out = Out(tuple(expected.shape), torch.bool)
                answer = kernels(f"aten::{name}.out", x, dim, keep, out)
                assert answer.kernel == "edgetrain"
                assert torch.equal(answer.outputs[0], expected)


@pytest.mark.parametrize("size", [(3, 7, 6, 5), (2, 600, 2, 2), (64, 3, 32, 32), (1, 1, 1, 1)])
def test_sum_over_all_but_the_channels(
    kernels: KernelCaller, threaded_kernels: KernelCaller, size: tuple[int, ...]
) -> None:
    x = torch.randn(size, generator=torch.Generator().manual_seed(0)) + 0.1
    out = Out((1, size[1], 1, 1))
    for caller in (kernels, threaded_kernels):
        answer = caller("aten::sum.IntList_out", x, [0, 2, 3], True, None, out)
        assert answer.kernel == "edgetrain"
        assert relative_error(answer.outputs[0], x.double().sum((0, 2, 3), keepdim=True)) <= 1e-6
