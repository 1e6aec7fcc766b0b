"""index and index_put of the native kernels against PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_caller import KernelCaller, Out, check, relative_error
from torch import Tensor

DTYPES = [torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool]


def filled(size: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randint(0, 2 if dtype == torch.bool else 9, size).to(dtype)


def numbers(low: int, high: int, *size: int) -> Tensor:
    """Indices, with repetitions where there are more than numbers."""
    return torch.randint(low, high, size, generator=torch.Generator().manual_seed(high))


# A tensor's size, and the indices of its first dimensions.
CASES: list[tuple[tuple[int, ...], tuple[Tensor | None, ...]]] = [
    ((11, 8), (numbers(0, 11, 3, 6),)),  # an embedding
    ((11, 8), (numbers(-11, 11, 6),)),
    ((7,), (numbers(0, 7, 20),)),
    ((2, 5, 8, 8), (None, None, numbers(0, 8, 16, 1), numbers(0, 8, 16))),  # an image made larger
    ((2, 5, 4), (None, numbers(-5, 5, 9))),
    ((3, 4, 5), (numbers(0, 3, 2, 1), numbers(-4, 4, 6))),
    ((3, 4), (None, torch.tensor(2))),
    ((3, 4), (numbers(0, 3, 0),)),
    ((0, 4), (None, numbers(0, 4, 3))),
    ((40, 3, 64, 64), (None, None, numbers(0, 64, 20, 1), numbers(0, 64, 20))),
]


def pick(size: tuple[int, ...], indices: tuple[Tensor | None, ...]) -> tuple[int, ...]:
    whole = tuple(slice(None) if index is None else index for index in indices)
    return tuple(torch.zeros(size)[whole].shape)


@pytest.mark.parametrize(("size", "indices"), CASES)
def test_index(
    kernels: KernelCaller, threaded_kernels: KernelCaller, size: tuple[int, ...], indices: Any
) -> None:
    for dtype in DTYPES:
        for caller in (kernels, threaded_kernels):
            check(caller, "aten::index.Tensor_out", filled(size, dtype), indices, dtype=dtype)


@pytest.mark.parametrize(("size", "indices"), CASES)
def test_index_put(
    kernels: KernelCaller, threaded_kernels: KernelCaller, size: tuple[int, ...], indices: Any
) -> None:
    for dtype in (torch.float32, torch.int64):
        x, values = filled(size, dtype), filled(pick(size, indices), dtype)
        for caller in (kernels, threaded_kernels):
            check(caller, "aten::index_put.out", x, indices, values, True, dtype=dtype)
            check(caller, "aten::index_put.out", x, indices, filled((), dtype), True, dtype=dtype)
    for dtype in DTYPES:
        # The same value wherever an index is repeated.
        one = filled((), dtype)
        for value in (one, one.expand(pick(size, indices)).contiguous()):
            check(kernels, "aten::index_put.out", filled(size, dtype), indices, value, False, dtype=dtype)


def test_gradient_of_an_embedding(kernels: KernelCaller) -> None:
    """[B, T, C] → [K, C], as the joint graph sums it."""
    ids, grad = numbers(0, 30, 4, 50), torch.randn(4, 50, 33)
    expected = torch.ops.aten.embedding_dense_backward(grad.double(), ids, 30, -1, False)
    answer = kernels("aten::index_put.out", torch.zeros(30, 33), (ids,), grad, True, Out((30, 33)))
    assert answer.kernel == "edgetrain"
    assert relative_error(answer.outputs[0], expected) <= 1e-6


def test_what_is_not_covered_runs_on_the_stock_kernel(kernels: KernelCaller) -> None:
    x = torch.randn(3, 4, 5)
    for indices in (
        (torch.tensor([True, False, True]),),
        (torch.tensor([0, 2]), None, torch.tensor([1, 4])),
        (torch.tensor([0, 2]), torch.tensor([1, 3]), torch.tensor([1, 4])),
    ):
        size = pick((3, 4, 5), indices)
        assert kernels("aten::index.Tensor_out", x, indices, Out(size)).kernel == "executorch"


def test_indices_outside_are_refused(kernels: KernelCaller) -> None:
    x = torch.randn(3, 4)
    for index in (3, -4):
        place = (torch.tensor([0, index]),)
        assert kernels("aten::index.Tensor_out", x, place, Out((2, 4))).kernel == "failed"
        put = kernels("aten::index_put.out", x, place, torch.randn(2, 4), False, Out((3, 4)))
        assert put.kernel == "failed"
