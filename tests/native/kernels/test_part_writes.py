"""Kernels that write a part of a tensor, and those of the largest values and of powers, against PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from kernel_caller import KernelCaller, Out, check, eager, relative_error
from test_small_operators import DTYPES, filled

PARTS: list[tuple[str, list[tuple[int, ...]], list[Any]]] = [
    ("slice_scatter.out", [(4, 9), (4, 3)], [1, 2, 5, 1]),
    ("slice_scatter.out", [(4, 9, 2), (4, 3, 2)], [-2, None, None, 4]),
    ("slice_scatter.out", [(7, 3), (3, 3)], [0, -3, 99, 1]),
    ("slice_scatter.out", [(7, 3), (0, 3)], [0, 3, 1, 1]),
    ("slice_scatter.out", [(60, 50), (60, 25)], [1, 1, 2**62, 2]),
    ("select_scatter.out", [(4, 3, 5), (4, 5)], [1, 2]),
    ("select_scatter.out", [(4, 3, 5), (4, 3)], [-1, -1]),
    ("select_scatter.out", [(6,), ()], [0, 3]),
    ("copy.out", [(3, 4), (3, 4)], [False]),
    ("copy.out", [(2, 3, 4), (3, 1)], [False]),
    ("copy.out", [(2, 3), ()], [True]),
    ("copy.out", [(0, 3), (1, 3)], [False]),
]
PADS: list[tuple[tuple[int, ...], list[int]]] = [
    ((3, 4), [1, 2]),
    ((3, 4), [0, 0, 2, 1]),
    ((2, 3, 5), [-1, 2, 1, -2, 3, 0]),
    ((2, 40, 50), [3, 3, 1, 1]),
    ((3, 4), [-4, 1]),
    ((0, 4), [1, 1, 2, 0]),
    ((3, 4), []),
    ((), []),
]


@pytest.mark.parametrize(("operator", "sizes", "arguments"), PARTS)
def test_parts(
    kernels: KernelCaller, operator: str, sizes: list[tuple[int, ...]], arguments: list[Any]
) -> None:
    for dtype in DTYPES:
        check(kernels, f"aten::{operator}", *(filled(s, dtype) for s in sizes), *arguments, dtype=dtype)


@pytest.mark.parametrize(("size", "pad"), PADS)
def test_padding(kernels: KernelCaller, size: tuple[int, ...], pad: list[int]) -> None:
    for dtype in DTYPES:
        values = [False, True] if dtype == torch.bool else [0, 7]
        for value in [*values, *([-1.5, float("inf")] if dtype.is_floating_point else [])]:
            check(kernels, "aten::constant_pad_nd.out", filled(size, dtype), pad, value, dtype=dtype)


def test_what_does_not_fit_is_left_to_the_stock_kernel(kernels: KernelCaller) -> None:
    x, out = torch.randn(4, 9), Out((4, 9))
    for arguments in ([1, 2, 6, 1], [1, 2, 5, 0], [2, 0, 3, 1]):
        assert kernels("aten::slice_scatter.out", x, x[:, :3], *arguments, out).kernel != "edgetrain"
    assert kernels("aten::select_scatter.out", x, x[0], 0, 4, out).kernel != "edgetrain"
    assert kernels("aten::copy.out", x[:1], x, False, out).kernel != "edgetrain"
    for pad in ([1], [-9, -1], [2**62, 2**62], [0, 0, 0, 0, 1, 1]):
        assert kernels("aten::constant_pad_nd.out", x, pad, 0.0, out).kernel != "edgetrain"


@pytest.mark.parametrize("largest", [True, False])
def test_topk(kernels: KernelCaller, largest: bool) -> None:
    torch.manual_seed(0)
    for size, dim, k in itertools.product([(30,), (3, 40, 5), (7, 2, 1)], [0, -1], [0, 1, 5]):
        x = torch.randperm(torch.Size(size).numel()).reshape(size).float()
        if k > size[dim]:
            continue
        types = [torch.float32, torch.int64]
        expected = eager("aten::topk.values", x, k, dim, largest, True, dtypes=types)
        outs = [Out(tuple(e.shape), t) for e, t in zip(expected, types, strict=True)]
        answer = kernels("aten::topk.values", x, k, dim, largest, True, *outs)
        assert answer.kernel == "edgetrain"
        assert all(map(torch.equal, answer.outputs, expected))


def test_topk_of_ties_and_nan(kernels: KernelCaller) -> None:
    """The first of equal ones; NaN as the largest."""
    x = torch.tensor([1.0, torch.nan, 5, 1, 5, torch.nan])
    for largest, places in ((True, [1, 5, 2, 4]), (False, [0, 3, 2, 4])):
        answer = kernels("aten::topk.values", x, 4, 0, largest, False, Out((4,)), Out((4,), torch.int64))
        assert answer.outputs[1].tolist() == places
        torch.testing.assert_close(answer.outputs[0], x[places], equal_nan=True, rtol=0, atol=0)
    for k, dim in ((7, 0), (-1, 0), (1, 1)):
        answer = kernels("aten::topk.values", x, k, dim, True, True, Out((7,)), Out((7,), torch.int64))
        assert answer.kernel != "edgetrain"


def test_powers(kernels: KernelCaller) -> None:
    torch.manual_seed(0)
    for sizes in ([(3, 5), (3, 5)], [(4, 1, 3), (5, 1)], [(0, 2), (2,)]):
        base, exponent = (torch.rand(s) * 3 for s in sizes)
        expected = base.double() ** exponent.double()
        answer = kernels("aten::pow.Tensor_Tensor_out", base, exponent, Out(tuple(expected.shape)))
        assert answer.kernel == "edgetrain"
        assert relative_error(answer.outputs[0], expected) < 1e-6
        for number in (2, 0.5, 0.0):
            answer = kernels("aten::pow.Scalar_out", number, exponent, Out(tuple(exponent.shape)))
            assert answer.kernel == "edgetrain"
            assert relative_error(answer.outputs[0], number ** exponent.double()) < 1e-6
    special = torch.tensor([0.0, -2.0, -2.0, torch.inf, torch.nan])
    check(
        kernels,
        "aten::pow.Tensor_Tensor_out",
        special,
        torch.tensor([0.0, 3.0, 0.5, -1.0, 0.0]),
    )
