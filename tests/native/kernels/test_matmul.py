"""Matrix products of the native kernels against PyTorch's, on every instruction set of the machine."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_caller import KernelCaller, Onto, Out, relative_error

SIZES = [
    (1, 1, 1), (1, 512, 300), (2, 17, 5), (3, 64, 4), (4, 33, 129), (5, 9, 600), (6, 16, 256), (7, 31, 257),
    (8, 32, 64), (9, 65, 1), (13, 70, 301), (16, 48, 513), (32, 10, 512), (61, 37, 45), (97, 33, 20),
    (512, 10, 32), (193, 130, 3), (100, 100, 2), (0, 3, 4), (3, 0, 4), (3, 4, 0), (40, 40, 0),
]  # fmt: skip


def operands(m: int, n: int, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(m * 10007 + n * 101 + k)
    return (
        torch.randn(m, k, generator=generator),
        torch.randn(k, n, generator=generator),
        torch.randn(m, n, generator=generator),
    )


def check(answer: Any, expected: torch.Tensor, kernel: str = "edgetrain") -> None:
    assert answer.kernel == kernel
    assert relative_error(answer.outputs[0], expected) <= 1e-5


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_mm(kernels: KernelCaller, m: int, n: int, k: int) -> None:
    a, b, _ = operands(m, n, k)
    check(kernels("aten::mm.out", a, b, Out((m, n))), a.double() @ b.double())


FACTORS = {"none": (1, 1), "one": (0, 2.5), "all": (0.5, -1)}


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
@pytest.mark.parametrize(
    ("rows", "beta", "alpha"),
    [
        pytest.param(rows, *factors, marks=() if FACTORS[rows] == factors else pytest.mark.thorough)
        for rows in FACTORS
        for factors in FACTORS.values()
    ],
)
def test_addmm(kernels: KernelCaller, m: int, n: int, k: int, beta: float, alpha: float, rows: str) -> None:
    a, b, full = operands(m, n, k)
    self = {"none": torch.linspace(-1, 1, n), "one": torch.linspace(-1, 1, n)[None], "all": full}[rows]
    expected = torch.addmm(self.double(), a.double(), b.double(), beta=beta, alpha=alpha)
    check(kernels("aten::addmm.out", self, a, b, beta, alpha, Out((m, n))), expected)


@pytest.mark.parametrize(("m", "n", "k"), [*SIZES, (512, 2048, 4), (70, 300, 33)])
@pytest.mark.parametrize(("beta", "alpha"), [(1, 1), (0.9, 1), (0.99, -0.013), (0, 2.5), (-2.0, 0.0)])
def test_addmm_onto_itself(kernels: KernelCaller, m: int, n: int, k: int, beta: float, alpha: float) -> None:
    """As an update of a weight by a gradient that is a product."""
    a, b, weight = operands(m, n, k)
    expected = torch.addmm(weight.double(), a.double(), b.double(), beta=beta, alpha=alpha)
    check(kernels("aten::addmm.out", weight, a, b, beta, alpha, Onto(0)), expected)


def test_addmm_of_a_row_onto_itself(kernels: KernelCaller) -> None:
    a, b, _ = operands(1, 300, 70)
    row = torch.linspace(-1, 1, 300)[None]
    for beta in (1, 0.5):
        expected = torch.addmm(row.double(), a.double(), b.double(), beta=beta)
        check(kernels("aten::addmm.out", row, a, b, beta, 1, Onto(0)), expected)


@pytest.mark.parametrize(("m", "n", "k"), SIZES)
def test_linear(kernels: KernelCaller, m: int, n: int, k: int) -> None:
    a, b, bias = *operands(m, n, k)[:2], torch.linspace(-1, 1, n)
    weight = b.T.contiguous()
    expected = a.double() @ b.double()
    check(kernels("aten::linear.out", a, weight, bias, Out((m, n))), expected + bias)
    check(kernels("aten::linear.out", a, weight, None, Out((m, n))), expected)
    check(kernels("aten::linear.out", a[:, None], weight, None, Out((m, 1, n))), expected[:, None])


@pytest.mark.parametrize(("m", "n", "k"), SIZES[:12])
def test_bmm(kernels: KernelCaller, m: int, n: int, k: int) -> None:
    a, b = torch.randn(3, m, k), torch.randn(3, k, n)
    check(kernels("aten::bmm.out", a, b, Out((3, m, n))), torch.bmm(a.double(), b.double()))


def test_nan_of_self_with_beta_0(kernels: KernelCaller) -> None:
    a, b, _ = operands(5, 40, 7)
    answer = kernels("aten::addmm.out", torch.full((40,), torch.nan), a, b, 0, 1, Out((5, 40)))
    check(answer, a.double() @ b.double())


def test_a_smaller_batch_than_planned(kernels: KernelCaller) -> None:
    a, b, _ = operands(3, 20, 30)
    check(kernels("aten::mm.out", a, b, Out((8, 20))), a.double() @ b.double())


def test_what_is_not_covered_runs_on_the_stock_kernel(kernels: KernelCaller) -> None:
    a, b, _ = operands(6, 5, 4)
    column = torch.randn(6, 1)
    answer = kernels("aten::addmm.out", column, a, b, 1, 1, Out((6, 5)))
    check(answer, column.double() + a.double() @ b.double(), "executorch")
    assert kernels("aten::mm.out", torch.randn(2, 3), torch.randn(4, 5), Out((2, 5))).kernel == "failed"


@pytest.mark.parametrize(("m", "n", "k"), [(1, 2048, 700), (33, 1000, 300), (300, 2000, 2), (4, 300, 2000)])
def test_threads_make_no_difference(
    kernels: KernelCaller, threaded_kernels: KernelCaller, m: int, n: int, k: int
) -> None:
    a, b, _ = operands(m, n, k)
    for operator, right in (("aten::mm.out", [b]), ("aten::linear.out", [b.T.contiguous(), None])):
        one = kernels(operator, a, *right, Out((m, n))).outputs[0]
        assert torch.equal(threaded_kernels(operator, a, *right, Out((m, n))).outputs[0], one)
