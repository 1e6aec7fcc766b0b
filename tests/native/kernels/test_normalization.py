"""Softmax and normalisations of the native kernels against PyTorch's in float64."""

from __future__ import annotations

import pytest
import torch
from kernel_caller import KernelCaller, Out, relative_error

SIZES = [(1,), (5, 10), (3, 1000), (2, 7, 3), (4, 6, 37), (2, 3, 4, 5), (1, 1), (0, 4), (3, 0), (64, 129)]


@pytest.mark.parametrize("size", SIZES)
def test_softmax(kernels: KernelCaller, threaded_kernels: KernelCaller, size: tuple[int, ...]) -> None:
    x = 5 * torch.randn(size, generator=torch.Generator().manual_seed(0))
    for dim in range(-1, len(size)):
        for name in ("softmax", "log_softmax"):
            expected = getattr(torch, name)(x.double(), dim)
            for caller in (kernels, threaded_kernels):
                answer = caller(f"aten::_{name}.out", x, dim, False, Out(size))
                assert answer.kernel == "edgetrain"
                assert relative_error(answer.outputs[0], expected) <= 1e-6


@pytest.mark.parametrize("dim", [0, 1])
def test_softmax_of_special_values(kernels: KernelCaller, dim: int) -> None:
    inf, nan = torch.inf, torch.nan
    rows = [[0, -inf, 1], [-inf, -inf, -inf], [inf, 0, 1], [nan, 0, 1], [0, 1, nan], [1e30, -1e30, 1e30]]
    x = torch.tensor(rows)
    x = x.T.contiguous() if dim == 0 else x
    for name in ("softmax", "log_softmax"):
        (actual,) = kernels(f"aten::_{name}.out", x, dim, False, Out(tuple(x.shape))).outputs
        torch.testing.assert_close(actual, getattr(torch, name)(x, dim), rtol=1e-6, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("size", [(3, 8), (2, 5, 33), (40, 512), (1, 1), (2, 3, 4, 5)])
@pytest.mark.parametrize("affine", [False, True])
def test_layer_norm(kernels: KernelCaller, size: tuple[int, ...], affine: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(size, generator=generator) + 3
    for count in (1, 2):
        shape = list(size[-count:])
        weight, bias = (torch.randn(shape, generator=generator) if affine else None for _ in range(2))
        doubles = [None if p is None else p.double() for p in (weight, bias)]
        expected = torch.ops.aten.native_layer_norm(x.double(), shape, *doubles, 1e-5)
        outs = [Out(tuple(e.shape)) for e in expected]
        answer = kernels("aten::native_layer_norm.out", x, shape, weight, bias, 1e-5, *outs)
        assert answer.kernel == "edgetrain"
        for actual, exact in zip(answer.outputs, expected, strict=True):
            assert relative_error(actual, exact) <= 1e-5


@pytest.mark.parametrize(
    ("size", "groups"), [((2, 6, 5, 7), 3), ((3, 8, 4), 8), ((1, 4, 33), 1), ((2, 6), 2)]
)
@pytest.mark.parametrize("affine", [False, True])
def test_group_norm(kernels: KernelCaller, size: tuple[int, ...], groups: int, affine: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(size, generator=generator) - 1
    weight, bias = (torch.randn(size[1], generator=generator) if affine else None for _ in range(2))
    doubles = [None if p is None else p.double() for p in (weight, bias)]
    numbers = [size[0], size[1], x[0, 0].numel(), groups, 1e-5]
    expected = torch.ops.aten.native_group_norm(x.double(), *doubles, *numbers)
    outs = [Out(tuple(e.shape)) for e in expected]
    answer = kernels("aten::native_group_norm.out", x, weight, bias, *numbers, *outs)
    assert answer.kernel == "edgetrain"
    for actual, exact in zip(answer.outputs, expected, strict=True):
        assert relative_error(actual, exact) <= 1e-5


@pytest.mark.parametrize("size", [(2, 6, 5, 7), (3, 8), (1, 4, 33), (0, 3, 2, 2), (5, 40, 16, 16)])
@pytest.mark.parametrize("affine", [False, True])
def test_batch_norm_with_fixed_statistics(kernels: KernelCaller, size: tuple[int, ...], affine: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(size, generator=generator)
    weight, bias = (torch.randn(size[1], generator=generator) if affine else None for _ in range(2))
    mean, variance = torch.randn(size[1], generator=generator), torch.rand(size[1], generator=generator) + 0.1
    doubles = [None if p is None else p.double() for p in (weight, bias, mean, variance)]
    expected = torch.nn.functional.batch_norm(x.double(), *doubles[2:], *doubles[:2], eps=1e-5)
    arguments = [x, weight, bias, mean, variance, 0.1, 1e-5, Out(size), Out((0,)), Out((0,))]
    answer = kernels("aten::_native_batch_norm_legit_no_training.out", *arguments)
    assert answer.kernel == "edgetrain"
    assert relative_error(answer.outputs[0], expected) <= 1e-6
