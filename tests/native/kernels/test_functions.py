"""Functions of one number of the native kernels against PyTorch's in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_caller import KernelCaller, Out, check, eager

# The largest distance to the exact result, in units of its last place.
FUNCTIONS: list[tuple[str, list[Any], float]] = [
    ("abs.out", [], 0),
    ("ceil.out", [], 0),
    ("clamp.out", [-1.5, 2], 0),
    ("clamp.out", [None, 0.25], 0),
    ("clamp.out", [3, None], 0),
    ("clamp.out", [2, 1], 0),
    ("cos.out", [], 2),
    ("elu.out", [1.0, 1.0, 1.0], 3),
    ("elu.out", [1.6732632423543772, 1.0507009873554805, 1.0], 4),
    ("erf.out", [], 3),
    ("exp.out", [], 2),
    ("expm1.out", [], 2),
    ("floor.out", [], 0),
    ("hardtanh.out", [-1.0, 1.0], 0),
    ("leaky_relu.out", [0.5], 0),
    ("log.out", [], 2),
    ("log1p.out", [], 3),
    ("neg.out", [], 0),
    ("pow.Tensor_Scalar_out", [-1], 1),
    ("pow.Tensor_Scalar_out", [2], 1),
    ("pow.Tensor_Scalar_out", [0.5], 2),
    ("pow.Tensor_Scalar_out", [3.0], 2),
    ("reciprocal.out", [], 1),
    ("relu.out", [], 0),
    ("round.out", [], 0),
    ("rsqrt.out", [], 2),
    ("sigmoid.out", [], 3),
    ("sign.out", [], 0),
    ("sin.out", [], 2),
    ("sqrt.out", [], 1),
    ("tanh.out", [], 3),
]
SPECIAL = [0.0, -0.0, 1.0, -1.0, torch.inf, -torch.inf, torch.nan, 1e-45, -1e-45, 1e-39, 2e-38, -3e-38]
BOUNDS = [88.7, 88.8, -87.3, -88.0, -103.9, -104.1, 3.4e38, -3.4e38, 0.70710677, 0.7071068, 0.625, 0.6249999]


def numbers() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    scales = 10.0 ** torch.linspace(-30, 30, 31)
    wide = (torch.randn(31, 40, generator=generator) * scales[:, None]).flatten()
    parts = [
        torch.tensor(SPECIAL + BOUNDS),
        wide,
        torch.linspace(-20, 20, 4001),
        torch.linspace(-105, 90, 3001),
    ]
    return torch.cat(parts)


def last_places(actual: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """The distance in units of the last place of float32, which denormal numbers share."""
    place = torch.exp2(torch.log2(expected.abs().clamp(min=2.0**-126)).floor() - 23)
    return (actual.double() - expected).abs() / place


@pytest.mark.parametrize(("operator", "arguments", "places"), FUNCTIONS)
def test_functions(kernels: KernelCaller, operator: str, arguments: list[Any], places: float) -> None:
    x = numbers()
    answer = kernels(f"aten::{operator}", x, *arguments, Out(tuple(x.shape)))
    assert answer.kernel == "edgetrain"
    (actual,) = answer.outputs
    (exact,) = eager(f"aten::{operator}", x.double(), *arguments, dtypes=[torch.float64])
    rounded = exact.float()
    finite = rounded.isfinite()
    torch.testing.assert_close(actual[~finite], rounded[~finite], rtol=0, atol=0, equal_nan=True)
    assert last_places(actual[finite], exact[finite]).max() <= places + 0.501


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu(kernels: KernelCaller, approximate: str) -> None:
    x = torch.cat([torch.linspace(-20, 20, 4001), torch.tensor([0.0, -0.0, torch.inf, torch.nan])])
    (actual,) = kernels("aten::gelu.out", x, approximate, Out(tuple(x.shape))).outputs
    expected = torch.nn.functional.gelu(x.double(), approximate=approximate)
    # Far below zero, 1 + erf(x) has lost most of its digits, in PyTorch's float32 as well.
    torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=2e-6, equal_nan=True)


@pytest.mark.parametrize("count", [0, 1, 3, 16, 17, 40001])
def test_any_number_of_elements(kernels: KernelCaller, threaded_kernels: KernelCaller, count: int) -> None:
    x = torch.linspace(-3, 3, count)
    for caller in (kernels, threaded_kernels):
        answer = caller("aten::tanh.out", x, Out((count,)))
        assert answer.kernel == "edgetrain"
        torch.testing.assert_close(answer.outputs[0], x.tanh(), rtol=1e-6, atol=0)


def test_signs_of_zero_and_nan(kernels: KernelCaller) -> None:
    x = torch.tensor([0.0, -0.0, torch.nan, -torch.inf])
    for operator in ("neg", "abs", "relu", "sqrt", "tanh", "erf"):
        (actual,) = kernels(f"aten::{operator}.out", x, Out((4,))).outputs
        expected = getattr(torch, operator)(x)
        assert torch.equal(actual[:2].signbit(), expected[:2].signbit()), operator
        assert torch.equal(actual.isnan(), expected.isnan()), operator


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float64])
def test_signs_of_other_types(kernels: KernelCaller, dtype: torch.dtype) -> None:
    x = torch.tensor([-3, 0, 5]).to(dtype)
    for operator in ("neg", "abs"):
        answer = kernels(f"aten::{operator}.out", x, Out((3,), dtype))
        assert answer.kernel == "edgetrain"
        assert torch.equal(answer.outputs[0], getattr(torch, operator)(x))


@pytest.mark.parametrize("bounds", [(1, None), (None, 3), (-2, 4), (3, 1)])
def test_clamp_of_integers(kernels: KernelCaller, bounds: tuple[int | None, int | None]) -> None:
    for x in (torch.arange(-5, 6), torch.tensor(0), torch.tensor([2**62, -(2**62)]), torch.zeros(0).long()):
        check(kernels, "aten::clamp.out", x, *bounds, dtype=torch.int64)


def test_what_is_true_of_numbers(kernels: KernelCaller) -> None:
    for x in (
        torch.tensor(SPECIAL),
        torch.tensor(SPECIAL).double(),
        torch.tensor([0, 2]),
        torch.tensor([True, False]),
    ):
        for operator in ("isnan", "isinf", "logical_not"):
            answer = kernels(f"aten::{operator}.out", x, Out(tuple(x.shape), torch.bool))
            assert answer.kernel == "edgetrain"
            assert torch.equal(answer.outputs[0], getattr(torch, operator)(x))
    for x in (torch.tensor([0, -2, 7]), torch.tensor([True, False])):
        (actual,) = kernels("aten::bitwise_not.out", x, Out(tuple(x.shape), x.dtype)).outputs
        assert torch.equal(actual, x.bitwise_not())
