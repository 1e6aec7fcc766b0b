"""Distributions: their moments and ranges against PyTorch's own, and that all are drawn by rand or randn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from edgetrain.engine.distributions import DISTRIBUTIONS, IN_PLACE
from edgetrain.upstream.operators import operators_run_by

aten = torch.ops.aten
COUNT = 40000
X = torch.zeros(COUNT)
P = torch.linspace(0, 1, COUNT)
CASES: dict[Any, tuple[Any, ...]] = {
    aten.rand_like.default: (X,),
    aten.randn_like.default: (X,),
    aten.bernoulli.p: (X, 0.7),
    aten.bernoulli.default: (P,),
    aten.uniform.default: (X, -2.0, 3.0),
    aten.normal_functional.default: (X, 2.0, 0.5),
    aten.normal.float_float: (2.0, 0.5, [COUNT]),
    aten.normal.Tensor_float: (P, 0.5),
    aten.normal.float_Tensor: (2.0, P),
    aten.normal.Tensor_Tensor: (P, P),
    aten.exponential.default: (X, 2.0),
    aten.randint.default: (5, [COUNT]),
    aten.randint.low: (-3, 5, [COUNT]),
    aten.randint_like.default: (X, 5),
    aten.randint_like.low_dtype: (X, -3, 5),
    aten.bernoulli_.float: (X, 0.7),
    aten.bernoulli_.Tensor: (X, P),
    aten.uniform_.default: (X, -2.0, 3.0),
    aten.normal_.default: (X, 2.0, 0.5),
    aten.exponential_.default: (X, 2.0),
}


def drawn_by(function: Callable[[], Any]) -> tuple[Any, set[Any]]:
    """What a function returns, and the operators that it draws with."""
    used = set()

    def run(operator: Any, args: Any, kwargs: Any) -> Any:
        if torch.Tag.nondeterministic_seeded in operator.tags:
            used.add(operator)
        return operator(*args, **kwargs)

    with operators_run_by(run):
        return function(), used


@pytest.mark.parametrize("operator", CASES, ids=str)
def test_is_the_distribution_of_pytorch(operator: Any) -> None:
    torch.manual_seed(0)
    args = [a.clone() if isinstance(a, Tensor) else a for a in CASES[operator]]
    ours = {**DISTRIBUTIONS, **IN_PLACE}[operator]
    found, used = drawn_by(lambda: ours(*args))
    assert used <= {aten.rand.default, aten.randn.default}
    assert len(used) == 1
    expected = operator(*args)
    assert found.dtype == expected.dtype
    found, expected = found.double(), expected.double()
    # Six standard errors of a difference of two means, for values and for their squares.
    for ours_, theirs in ((found, expected), (found**2, expected**2)):
        error = (2 * theirs.var() / COUNT).sqrt()
        assert abs(ours_.mean() - theirs.mean()) < 6 * error
    if operator not in (aten.randn_like.default, aten.normal_.default, aten.normal_functional.default):
        assert found.min() >= expected.min() - 0.01 * expected.std() - 4 * ("normal" in str(operator))
    for half in (found[: COUNT // 2], found[COUNT // 2 :]):
        assert half.std() > 0


def test_every_distribution_is_tested_here() -> None:
    apart = {aten.rrelu_with_noise_functional.default, aten.rrelu_with_noise_backward.default}
    assert {*DISTRIBUTIONS, *IN_PLACE} == {*CASES, *apart}


def test_wide_integers_are_left_alone() -> None:
    assert DISTRIBUTIONS[aten.randint.default](2**20, [3]) is NotImplemented


def test_exponential_is_never_zero_nor_infinite() -> None:
    def run(operator: Any, args: Any, kwargs: Any) -> Any:
        if operator is aten.rand.default:
            return torch.tensor([0.0, 2.0**-24, 1 - 2.0**-24])
        return operator(*args, **kwargs)

    with operators_run_by(run):
        found = DISTRIBUTIONS[aten.exponential.default](torch.zeros(3))
    assert torch.isfinite(found).all()
    assert torch.isfinite(found.log()).all()


def test_rrelu_multiplies_by_its_slopes_in_both_directions() -> None:
    torch.manual_seed(0)
    x, grad = torch.randn(1000), torch.randn(1000)
    forward = DISTRIBUTIONS[aten.rrelu_with_noise_functional.default]
    y, slopes = forward(x, torch.empty(1000), 0.1, 0.3, True)
    assert torch.equal(y, x * slopes)
    assert torch.all(slopes[x > 0] == 1)
    below = slopes[x <= 0]
    assert below.min() >= 0.1
    assert below.max() < 0.3
    assert below.std() > 0.05
    backward = DISTRIBUTIONS[aten.rrelu_with_noise_backward.default]
    expected = aten.rrelu_with_noise_backward(grad, x, slopes, 0.1, 0.3, True, False)
    assert torch.equal(backward(grad, x, slopes, 0.1, 0.3, True, False), expected)
    y, slopes = forward(x, torch.empty(1000), 0.1, 0.3, False)
    torch.testing.assert_close(y, torch.nn.functional.leaky_relu(x, 0.2))
    assert torch.equal(backward(grad, x, slopes, 0.1, 0.3, False, False), grad * slopes)
