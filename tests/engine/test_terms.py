"""The size of the terms of gradients, against terms that are written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgetrain.engine.terms import watch_means, watch_terms


def measured(model: nn.Module, loss: Callable[[], Tensor]) -> dict[str, float]:
    value = loss()
    found = watch_terms(value, dict(model.named_parameters()))
    value.backward()
    return found


def test_a_bias_sums_the_gradient_of_every_position() -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 3).double()
    inputs, weights = torch.randn(40, 5).double(), torch.randn(40, 3).double()
    found = measured(model, lambda: (model(inputs) * weights).sum())
    assert found["bias"] == pytest.approx(weights.norm().item(), rel=0.3), "random signs cancel by chance"
    assert found["weight"] == 0, "matrices are left out"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.token = nn.Parameter(torch.randn(1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.norm(functional.scaled_dot_product_attention(self.query(x), self.key(x), x))


@pytest.mark.parametrize("module", ["conv-norm", "in-place", "attention"])
def test_terms_of_what_is_zero_are_not(module: str) -> None:
    """A convolution's bias in front of batch norm, and a key's in front of a softmax."""
    torch.manual_seed(0)
    conv = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=module == "in-place")]
    model = (Attention() if module == "attention" else nn.Sequential(*conv)).double().train()
    inputs = torch.randn(5, 7, 6) if module == "attention" else torch.randn(5, 3, 8, 8)
    weights = torch.randn(model(inputs.double()).shape).double()
    found = measured(model, lambda: (model(inputs.double()) * weights).sum())
    zero = "key.bias" if module == "attention" else "0.bias"
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        if parameter.dim() == 1:
            norm = parameter.grad.norm().item()
            assert (norm < 1e-12) == (name == zero)
            assert found[name] > (0.01 if name == zero else 0.1 * norm), name


def test_gradients_stay_what_they_are() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 4), nn.LSTM(4, 5, batch_first=True))
    tokens = torch.randint(0, 9, (3, 6))
    model(tokens)[0].square().mean().backward()
    before = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    measured(model, lambda: model(tokens)[0].square().mean())
    for gradient, parameter in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


@pytest.mark.parametrize("masked", [False, True])
def test_parts_of_a_bias(masked: bool) -> None:
    """nn.MultiheadAttention keeps the biases of queries, keys and values in one."""
    torch.manual_seed(0)
    model = nn.MultiheadAttention(8, 2, batch_first=True).double()
    x, y = torch.randn(3, 5, 8).double(), torch.randn(3, 4, 8).double()
    mask = torch.zeros(5, 4).double() if masked else None
    weights = torch.randn(3, 5, 8).double()
    found = measured(model, lambda: (model(x, y, y, attn_mask=mask, need_weights=masked)[0] * weights).sum())
    gradient = model.in_proj_bias.grad
    assert gradient is not None
    assert gradient[8:16].norm() < 1e-12, "of keys"
    assert found["in_proj_bias"] > 0.5 * gradient.norm().item()


def test_each_step_of_a_recurrent_layer_is_asked_alone() -> None:
    """To ask all steps before it as well takes time without end, and counts their terms again."""
    torch.manual_seed(0)
    layer, x = nn.RNN(3, 4, batch_first=True).double(), torch.randn(2, 60, 3, dtype=torch.float64)
    loss = layer(x)[0].square().sum()
    sizes = watch_terms(loss, dict(layer.named_parameters()))
    loss.backward()
    # One term for each step and sample.
    outputs = layer(x)[0].detach()
    grad, squares = torch.zeros(2, 4, dtype=torch.float64), 0.0
    for step in reversed(range(60)):
        through = grad @ layer.weight_hh_l0.detach()
        grad = (2 * outputs[:, step] + through) * (1 - outputs[:, step].square())
        squares += grad.square().sum().item()
    assert 0.7 <= sizes["bias_hh_l0"] / squares**0.5 <= 1.4


def test_a_running_mean_is_made_of_what_comes_in() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.2), nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3))
    x = torch.randn(50, 3)
    with watch_means(model) as found:
        model(x)
        model.eval()(10 * x)
    assert found["0.running_mean"] == pytest.approx(0.2 * x.norm().item() / 50)
    assert found["2.running_mean"] > 100 * model[2].running_mean.norm().item(), "zero but for rounding"
