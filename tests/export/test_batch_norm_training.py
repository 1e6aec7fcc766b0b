"""Batch norm with the batch's statistics, as programs compute it, is as near to float64 as PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from edgetrain.export.joint import joint_decompositions

aten = torch.ops.aten
EPS = 1e-5


def distances(found: tuple[Tensor, ...], exact: tuple[Tensor, ...]) -> list[float]:
    return [float((f.double() - e).norm() / e.norm()) for f, e in zip(found, exact, strict=True)]


def eager(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    """Output, and the gradients of x, weight and bias."""
    x, weight, bias = (t.clone().requires_grad_() for t in (x, weight, bias))
    out = F.batch_norm(x, None, None, weight, bias, training=True, eps=EPS)
    return out.detach(), *torch.autograd.grad(out, (x, weight, bias), grad)


def in_programs(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    rules = joint_decompositions()
    channels = x.shape[1]
    out, mean, rstd, *_ = rules[aten._native_batch_norm_legit_functional.default](
        x, weight, bias, torch.zeros(channels), torch.ones(channels), True, 0.1, EPS
    )
    backward = rules[aten.native_batch_norm_backward.default]
    return out, *backward(grad, x, weight, None, None, mean, rstd, True, EPS, [True, True, True])


# Of two samples of one value per channel nothing but `eps` is left: float32 can tell its gradient to 1e-4.
@pytest.mark.parametrize("shape", [(2, 64, 1, 1), (2, 64, 2, 2), (8, 64, 2, 2), (4, 16, 9, 9)])
@pytest.mark.parametrize("offset", [0.0, 30.0])
def test_gradients_of_few_numbers(shape: tuple[int, ...], offset: float) -> None:
    torch.manual_seed(0)
    x, grad = torch.randn(shape) + offset, torch.randn(shape)
    weight, bias = 1 + 0.2 * torch.randn(shape[1]), torch.randn(shape[1])
    exact = eager(*(t.double() for t in (x, weight, bias, grad)))
    theirs = distances(eager(x, weight, bias, grad), exact)
    ours = distances(in_programs(x, weight, bias, grad), exact)
    for found, best in zip(ours, theirs, strict=True):
        assert found <= 3 * best + 1e-6
