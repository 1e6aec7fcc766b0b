"""Max-pooling of the native kernels and its gradient against PyTorch's."""

from __future__ import annotations

import itertools

import pytest
import torch
from kernel_caller import KernelCaller, Out, relative_error

# size, kernel, stride, padding, dilation
POOLS = [
    ((2, 3, 32, 32), [2, 2], [2, 2], [0, 0], [1, 1]),
    ((3, 5, 8, 8), [2, 2], [], [0, 0], [1, 1]),
    ((1, 4, 7, 70), [2, 2], [2, 2], [0, 0], [1, 1]),
    ((2, 4, 9, 9), [2], [2], [0], [1]),
    ((2, 3, 17, 17), [3, 3], [2, 2], [1, 1], [1, 1]),
    ((1, 3, 64, 71), [3, 3], [2, 2], [1, 1], [1, 1]),
    ((1, 3, 20, 37), [3, 3], [1, 1], [1, 1], [1, 1]),
    ((1, 2, 9, 40), [5, 4], [2, 2], [2, 2], [1, 1]),
    ((3, 12, 13), [3, 2], [1, 3], [1, 1], [2, 1]),
    ((2, 2, 5, 40), [1, 7], [1, 1], [0, 3], [1, 2]),
    ((1, 1, 2, 2), [2, 2], [2, 2], [0, 0], [1, 1]),
    ((0, 3, 4, 4), [2, 2], [2, 2], [0, 0], [1, 1]),
]  # fmt: skip


@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), POOLS)
def test_max_pool(
    kernels: KernelCaller,
    size: tuple[int, ...],
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil: bool,
    nan: bool,
) -> None:
    x = torch.randn(size, generator=torch.Generator().manual_seed(0)).mul(3).round()  # with equal values
    if nan:
        x = torch.where(torch.rand(size, generator=torch.Generator().manual_seed(1)) < 0.1, torch.nan, x)
    settings = [kernel, stride, padding, dilation, ceil]
    expected = torch.ops.aten.max_pool2d_with_indices.default(x, *settings)
    shape = tuple(expected[0].shape)
    answer = kernels("aten::max_pool2d_with_indices.out", x, *settings, Out(shape), Out(shape, torch.int64))
    assert answer.kernel == "edgetrain"
    torch.testing.assert_close(answer.outputs[0], expected[0], rtol=0, atol=0, equal_nan=True)
    assert torch.equal(answer.outputs[1], expected[1])


def test_windows_that_may_miss_the_image_run_on_the_stock_kernel(kernels: KernelCaller) -> None:
    x = torch.randn(1, 1, 1, 37)
    settings = [[2, 1], [1, 2], [1, 0], [2, 1], False]
    shape = (1, 1, 1, 19)
    answer = kernels("aten::max_pool2d_with_indices.out", x, *settings, Out(shape), Out(shape, torch.int64))
    assert answer.kernel == "executorch"


AVERAGES = [
    ((2, 3, 8, 8), [2, 2], [2, 2], [0, 0]), ((3, 9, 11), [3, 2], [1, 3], [1, 1]),
    ((1, 2, 7, 7), [3], [], [1]),
    ((0, 3, 4, 4), [2, 2], [], [0, 0]), ((1, 1, 3, 3), [3, 3], [1, 1], [1, 1]),
    ((2, 2, 1, 9), [1, 2], [], [0, 0]),
]  # fmt: skip


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), AVERAGES)
@pytest.mark.parametrize("ceil", [False, True])
def test_average_pool(
    kernels: KernelCaller,
    size: tuple[int, ...],
    kernel: list[int],
    stride: list[int],
    padding: list[int],
    ceil: bool,
) -> None:
    x = torch.randn(size)
    for count_padding, divisor in itertools.product((False, True), (None, 3)):
        settings = [kernel, stride, padding, ceil, count_padding, divisor]
        expected = torch.ops.aten.avg_pool2d.default(x.double(), *settings)
        answer = kernels("aten::avg_pool2d.out", x, *settings, Out(tuple(expected.shape)))
        assert answer.kernel == "edgetrain"
        assert relative_error(answer.outputs[0], expected) <= 1e-6


@pytest.mark.parametrize(
    ("size", "count"), [((3, 4, 64), 16), ((2, 50), 70), ((7,), 3), ((0, 5), 2), ((2, 3), 0)]
)
def test_scatter_add(kernels: KernelCaller, size: tuple[int, ...], count: int) -> None:
    shape = (*size[:-1], count)
    self, source = torch.randn(size), torch.randn(shape)
    index = torch.randint(0, size[-1], shape)
    for dim in (-1, len(size) - 1):
        answer = kernels("aten::scatter_add.out", self, dim, index, source, Out(size))
        assert answer.kernel == "edgetrain"
        expected = self.double().scatter_add(-1, index, source.double())
        assert relative_error(answer.outputs[0], expected) <= 1e-6


def test_scatter_add_along_rows(kernels: KernelCaller) -> None:
    self, source = torch.zeros(4, 5), torch.randn(3, 5)
    index = torch.randint(0, 4, (3, 5))
    answer = kernels("aten::scatter_add.out", self, 0, index, source, Out((4, 5)))
    assert answer.kernel == "edgetrain"
    assert torch.allclose(answer.outputs[0], self.scatter_add(0, index, source))
    index[1, 2] = 9
    assert kernels("aten::scatter_add.out", self, 1, index, source, Out((4, 5))).kernel == "failed"
