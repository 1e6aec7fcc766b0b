"""Copies, indexing and the like of the native kernels, for elements of several types, against PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from kernel_caller import KernelCaller, Out, check

DTYPES = [torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool]


def filled(size: tuple[int, ...], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(len(size))
    return torch.randint(0, 2 if dtype == torch.bool else 9, size, generator=generator).to(dtype)


VIEWS: list[tuple[str, tuple[int, ...], list[Any]]] = [
    ("alias_copy.out", (3, 4), []),
    ("alias_copy.out", (), []),
    ("detach_copy.out", (0, 3), []),
    ("lift_fresh_copy.out", (5,), []),
    ("clone.out", (2, 3), [None]),
    ("view_copy.out", (6, 4), [[3, 8]]),
    ("view_copy.out", (6, 4), [[2, -1, 3]]),
    ("view_copy.out", (0, 4), [[4, 0]]),
    ("view_copy.out", (1,), [[]]),
    ("unsqueeze_copy.out", (3, 4), [1]),
    ("unsqueeze_copy.out", (3, 4), [-1]),
    ("unsqueeze_copy.out", (), [0]),
    ("squeeze_copy.dim_out", (3, 1, 4), [1]),
    ("squeeze_copy.dim_out", (3, 1, 4), [-1]),
    ("squeeze_copy.dims_out", (1, 3, 1), [[0, -1, 1]]),
    ("expand_copy.out", (3, 1), [[2, 3, 5], False]),
    ("expand_copy.out", (3, 1, 4), [[-1, 6, -1], False]),
    ("expand_copy.out", (), [[2, 2], False]),
    ("permute_copy.out", (2, 3, 4), [[2, 0, -2]]),
    ("permute_copy.out", (), [[]]),
    ("transpose_copy.int_out", (2, 3, 4), [0, -1]),
    ("t_copy.out", (5, 3), []),
    ("t_copy.out", (5,), []),
    ("select_copy.int_out", (4, 3, 5), [1, 2]),
    ("select_copy.int_out", (4, 3, 5), [0, -1]),
    ("select_copy.int_out", (6,), [0, 3]),
    ("slice_copy.Tensor_out", (4, 9), [1, 2, 8, 1]),
    ("slice_copy.Tensor_out", (4, 9), [-1, None, None, 4]),
    ("slice_copy.Tensor_out", (4, 9), [0, -3, 99, 2]),
    ("slice_copy.Tensor_out", (4, 9), [0, 3, 1, 1]),
    ("slice_copy.Tensor_out", (4, 9), [1, 0, 2**62, 3]),
    ("flip.out", (4, 3, 70), [[0, -1]]),
    ("flip.out", (40, 50, 2), [[1]]),
    ("flip.out", (3, 0), [[1]]),
    ("flip.out", (4,), [[]]),
    ("flip.out", (), [[]]),
    ("repeat.out", (3, 4), [[2, 1, 3]]),
    ("repeat.out", (5,), [[70]]),
    ("repeat.out", (2, 3), [[0, 2]]),
    ("repeat.out", (), [[3, 2]]),
]


@pytest.mark.parametrize(("operator", "size", "arguments"), VIEWS)
def test_views(kernels: KernelCaller, operator: str, size: tuple[int, ...], arguments: list[Any]) -> None:
    for dtype in DTYPES:
        check(kernels, f"aten::{operator}", filled(size, dtype), *arguments, dtype=dtype)


def test_copies_in_place(kernels: KernelCaller) -> None:
    for dtype in DTYPES:
        x = filled((3, 5), dtype)
        answer = kernels("aten::copy_", Out((3, 5), dtype), x, False)
        assert answer.kernel == "edgetrain"
        assert torch.equal(answer.outputs[0], x)


@pytest.mark.parametrize("dtype", DTYPES)
def test_conversions(kernels: KernelCaller, dtype: torch.dtype) -> None:
    for other, size in itertools.product(DTYPES, [(), (3, 5), (0,)]):
        x = filled(size, dtype)
        for operator in ("aten::_to_copy.out", "dim_order_ops::_to_dim_order_copy.out"):
            answer = kernels(operator, x, False, None, Out(size, other))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], x.to(other))
    answer = kernels("dim_order_ops::_clone_dim_order.out", x, False, [0], Out((0,), dtype))
    assert answer.kernel == "edgetrain"


@pytest.mark.parametrize("count", [5, 70, 40001])
def test_places_as_bytes(kernels: KernelCaller, count: int) -> None:
    """What max-pools keep: lowest bytes, whose differences wrap around to those of whole numbers."""
    begins = torch.arange(-3, count - 3)
    places = begins + torch.arange(count) % 256
    narrow = [
        kernels("aten::_to_copy.out", x, False, None, Out((count,), torch.uint8)) for x in (places, begins)
    ]
    kept = kernels("aten::sub.out", *(a.outputs[0] for a in narrow), 1, Out((count,), torch.uint8))
    wide = kernels("aten::_to_copy.out", kept.outputs[0], False, None, Out((count,), torch.int64))
    again = kernels("aten::add.out", wide.outputs[0], begins, 1, Out((count,), torch.int64))
    assert {a.kernel for a in (*narrow, kept, wide, again)} == {"edgetrain"}
    assert torch.equal(again.outputs[0], places)
    rows = kernels("aten::add.out", torch.stack([places, begins]), begins, 1, Out((2, count), torch.int64))
    assert torch.equal(rows.outputs[0], torch.stack([places, begins]) + begins)


@pytest.mark.parametrize("dtype", DTYPES)
def test_constants(kernels: KernelCaller, dtype: torch.dtype) -> None:
    values: list[Any] = [0, 1, True]
    if dtype.is_floating_point:
        values += [2.5, -1, float("inf")]
    for size in ((2, 3), (0, 2), ()):
        for value in values:
            check(kernels, "aten::full.out", list(size), value, dtype=dtype)
            check(kernels, "aten::full_like.out", filled(size, dtype), value, None, dtype=dtype)
            check(kernels, "aten::fill.Scalar_out", filled(size, dtype), value, dtype=dtype)
        check(kernels, "aten::zeros.out", list(size), dtype=dtype)
        check(kernels, "aten::ones.out", list(size), dtype=dtype)
        check(kernels, "aten::zeros_like.out", filled(size, dtype), None, dtype=dtype)
        check(kernels, "aten::ones_like.out", filled(size, dtype), None, dtype=dtype)
    for value in values:
        check(kernels, "aten::scalar_tensor.out", value, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES[:-1])
def test_ranges(kernels: KernelCaller, dtype: torch.dtype) -> None:
    check(kernels, "aten::arange.out", 7, dtype=dtype)
    check(kernels, "aten::arange.out", 0, dtype=dtype)
    check(kernels, "aten::arange.start_out", 3, 20, 4, dtype=dtype)
    if dtype.is_floating_point:
        check(kernels, "aten::arange.start_out", 1.0, -1.0, -0.25, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_joins_and_splits(kernels: KernelCaller, dtype: torch.dtype) -> None:
    def split(operator: str, x: torch.Tensor, count: int, *arguments: Any) -> None:
        # PyTorch's own out variants of these want outputs of the right size.
        functions = {"split_copy": torch.split_copy, "split_with_sizes_copy": torch.split_with_sizes_copy}
        function = functions.get(operator.partition(".")[0], torch.unbind_copy)
        expected = function(x, *arguments)
        outs = [Out(tuple(part.shape), dtype) for part in expected]
        assert len(outs) == count
        answer = kernels(f"aten::{operator}", x, *arguments, outs)
        assert answer.kernel == "edgetrain"
        assert all(map(torch.equal, answer.outputs, expected))

    x, y = filled((2, 3, 4), dtype), filled((2, 5, 4), dtype)
    for dim in (1, -2):
        check(kernels, "aten::cat.out", [x, y, x], dim, dtype=dtype)
    check(kernels, "aten::cat.out", [filled((0,), dtype), x, filled((0, 3, 4), dtype)], 0, dtype=dtype)
    check(kernels, "aten::cat.out", [filled((3,), dtype), filled((4,), dtype)], 0, dtype=dtype)
    for dim in (0, 2, -1):
        check(kernels, "aten::stack.out", [x, x, x], dim, dtype=dtype)
    split("split_copy.Tensor_out", y, 3, 2, 1)
    split("split_copy.Tensor_out", x, 1, 9, -1)
    split("split_with_sizes_copy.out", y, 3, [1, 0, 4], 1)
    split("unbind_copy.int_out", x, 3, -2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_running_sums(kernels: KernelCaller, dtype: torch.dtype) -> None:
    sums = dtype if dtype.is_floating_point else torch.int64
    for size in ((3, 40, 5), (0, 2), (7,)):
        for dim in (0, -1):
            check(kernels, "aten::cumsum.out", filled(size, dtype), dim, None, dtype=sums)
            if not dtype.is_floating_point:
                x = filled(size, dtype)
                answer = kernels("aten::cumsum.out", x, dim, None, Out(size))
                assert answer.kernel == "edgetrain"
                assert torch.equal(answer.outputs[0], x.cumsum(dim, dtype=torch.float32))


def test_remainders_of_places(kernels: KernelCaller) -> None:
    places = torch.arange(-20, 20)
    check(kernels, "aten::fmod.Scalar_out", places, 7, dtype=torch.int64)
    out = Out((40,), torch.float32)
    assert kernels("aten::fmod.Scalar_out", places.float(), 7, out).kernel == "executorch"


@pytest.mark.parametrize("dtype", DTYPES)
def test_indexing(kernels: KernelCaller, dtype: torch.dtype) -> None:
    x = filled((4, 5, 3), dtype)
    for dim, size in ((0, (6, 2, 3)), (1, (4, 7, 3)), (-1, (2, 5, 1)), (2, (0, 5, 3))):
        index = torch.randint(0, x.shape[dim], size)
        check(kernels, "aten::gather.out", x, dim, index, False, dtype=dtype)
        check(kernels, "aten::scatter_add.out", x, dim, index, filled(size, dtype), dtype=dtype)
        check(kernels, "aten::scatter.value_out", x, dim, index, True, dtype=dtype)
        if size[0] <= 4 and dim == -1:
            check(kernels, "aten::scatter.src_out", x, dim, index, filled(size, dtype), dtype=dtype)
    for dim in (0, -2):
        check(kernels, "aten::index_select.out", x, dim, torch.tensor([2, 0, 2]), dtype=dtype)
    check(kernels, "aten::embedding.out", x[0], torch.tensor([[1, 4], [0, 0]]), -1, False, False, dtype=dtype)


def test_indices_outside_are_refused(kernels: KernelCaller) -> None:
    x = torch.randn(2, 3)
    for index in (3, -1):
        place = torch.full((2, 1), index)
        assert kernels("aten::gather.out", x, 1, place, False, Out((2, 1))).kernel == "failed"
        assert kernels("aten::scatter.value_out", x, 1, place, 1.0, Out((2, 3))).kernel == "failed"
        assert kernels("aten::scatter_add.out", x, 1, place, x[:, :1], Out((2, 3))).kernel == "failed"
        table = kernels("aten::embedding.out", x, place, -1, False, False, Out((2, 1, 3)))
        assert table.kernel in ("failed", "executorch")


def test_argmax(kernels: KernelCaller) -> None:
    x = torch.tensor([[1.0, 5, 5, -2], [0, torch.nan, 7, torch.nan], [-1, -1, -1, -1]])
    for operator, keep in itertools.product(("aten::argmax.out", "aten::argmin.out"), (False, True)):
        for dim in (None, 0, 1, -1):
            check(kernels, operator, x, dim, keep, dtype=torch.int64)
        check(kernels, operator, filled((3, 4, 5), torch.int64), 1, keep, dtype=torch.int64)


def test_numbers_that_change_the_type_run_on_the_stock_kernel(kernels: KernelCaller) -> None:
    whole = torch.arange(6)
    answer = kernels("aten::mul.Scalar_out", whole, 0.5, Out((6,)))
    assert answer.kernel == "executorch"
    assert torch.equal(answer.outputs[0], whole * 0.5)
