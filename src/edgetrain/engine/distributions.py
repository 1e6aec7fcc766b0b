"""Distributions of random numbers, by the two kinds that ExecuTorch can draw: `rand`, evenly from [0, 1), and
`randn`.

It has no kernels for others. Written by these they have seeds in edgetrain's runner, and fixed values where
programs are compared (`artifacts.fixed_draws`), in eager PyTorch as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
# Half the distance between two values that `rand` can take.
_LEAST = 2.0**-25


def rand_like(x: Tensor, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _even(x.shape, dtype or x.dtype)


def randn_like(x: Tensor, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    return _normal(x.shape, dtype or x.dtype)


def bernoulli_p(x: Tensor, p: float = 0.5, generator: None = None) -> Tensor:
    """x tells the shape."""
    return (_even(x.shape, torch.float32) < p).to(x.dtype)


def bernoulli(p: Tensor, generator: None = None) -> Tensor:
    return (_even(p.shape, torch.float32) < p).to(p.dtype)


def bernoulli_like(x: Tensor, p: Tensor, generator: None = None) -> Tensor:
    """x tells the shape."""
    return (_even(x.shape, torch.float32) < p).to(x.dtype)


def uniform(x: Tensor, low: float = 0.0, high: float = 1.0, generator: None = None) -> Tensor:
    """x tells the shape."""
    return _even(x.shape, x.dtype) * (high - low) + low


def normal_functional(x: Tensor, mean: float = 0.0, std: float = 1.0, generator: None = None) -> Tensor:
    """x tells the shape."""
    return _normal(x.shape, x.dtype) * std + mean


def normal_float_float(
    mean: float, std: float, size: Sequence[int], dtype: torch.dtype | None = None, **_: Any
) -> Tensor:
    return _normal(size, dtype or torch.float32) * std + mean


def normal_tensor(mean: Any, std: Any = 1.0, generator: None = None) -> Tensor:
    """One of mean and std is a tensor, or both are, of one shape."""
    like = mean if isinstance(mean, Tensor) else std
    return _normal(like.shape, like.dtype) * std + mean


def exponential(x: Tensor, rate: float = 1.0, generator: None = None) -> Tensor:
    """x tells the shape. The logarithm of a number from [0, 1), of 0 as if it were a bit more: a
    result is neither 0 nor infinite, which logarithms of it rely on."""
    return torch.log(torch.clamp(_even(x.shape, x.dtype), min=_LEAST)) * (-1 / rate)


def randint(high: int, size: Sequence[int], dtype: torch.dtype | None = None, **_: Any) -> Any:
    return randint_low(0, high, size, dtype)


def randint_low(low: int, high: int, size: Sequence[int], dtype: torch.dtype | None = None, **_: Any) -> Any:
    """Numbers below 2^24, which `rand` tells apart, and few enough to come evenly."""
    if high - low > 2**16:
        return NotImplemented
    return torch.floor(_even(size, torch.float32) * (high - low) + low).to(dtype or torch.int64)


def randint_like(x: Tensor, high: int, dtype: torch.dtype | None = None, **_: Any) -> Any:
    return randint_low(0, high, x.shape, dtype or x.dtype)


def randint_like_low(x: Tensor, low: int, high: int, dtype: torch.dtype | None = None, **_: Any) -> Any:
    return randint_low(low, high, x.shape, dtype or x.dtype)


def rrelu_with_noise(
    x: Tensor,
    noise: Tensor,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    generator: None = None,
) -> Any:
    """Slopes below zero are drawn, or in evaluation their mean; they are returned for the gradient."""
    below = _even(x.shape, x.dtype) * (upper - lower) + lower if training else (lower + upper) / 2
    slopes = torch.where(x > 0, 1.0, below)
    return x * slopes, slopes


def rrelu_with_noise_backward(
    grad: Tensor, x: Tensor, noise: Tensor, lower: float, upper: float, training: bool, is_result: bool
) -> Any:
    return grad * noise if training else grad * torch.where(x > 0, 1.0, (lower + upper) / 2)


def _even(size: Sequence[int], dtype: torch.dtype) -> Tensor:
    numbers: Tensor = aten.rand(size, dtype=torch.float32)
    return numbers if dtype == torch.float32 else numbers.to(dtype)


def _normal(size: Sequence[int], dtype: torch.dtype) -> Tensor:
    numbers: Tensor = aten.randn(size, dtype=torch.float32)
    return numbers if dtype == torch.float32 else numbers.to(dtype)


#: By the operator that draws from them.
DISTRIBUTIONS: dict[Any, Callable[..., Any]] = {
    aten.rand_like.default: rand_like,
    aten.randn_like.default: randn_like,
    aten.bernoulli.p: bernoulli_p,
    aten.bernoulli.default: bernoulli,
    aten.uniform.default: uniform,
    aten.normal_functional.default: normal_functional,
    aten.normal.float_float: normal_float_float,
    aten.normal.Tensor_float: normal_tensor,
    aten.normal.float_Tensor: normal_tensor,
    aten.normal.Tensor_Tensor: normal_tensor,
    aten.exponential.default: exponential,
    aten.randint.default: randint,
    aten.randint.low: randint_low,
    aten.randint_like.default: randint_like,
    aten.randint_like.low_dtype: randint_like_low,
    aten.rrelu_with_noise_functional.default: rrelu_with_noise,
    aten.rrelu_with_noise_backward.default: rrelu_with_noise_backward,
}

#: What these operators fill a tensor with.
IN_PLACE: dict[Any, Callable[..., Any]] = {
    aten.bernoulli_.float: bernoulli_p,
    aten.bernoulli_.Tensor: bernoulli_like,
    aten.uniform_.default: uniform,
    aten.normal_.default: normal_functional,
    aten.exponential_.default: exponential,
}
