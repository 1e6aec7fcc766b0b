"""Norms in convolutions: with rounding switched off, everything is the float model's."""

from __future__ import annotations

import copy

import observed_models as models
import pytest
import torch
from torch import nn

from edgetrain.models.transforms.observers import observe


@pytest.fixture(params=[models.Residual, models.Signals])
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    """A float model, and the same with observers that don't round."""
    plain = models.seasoned(request.param())
    for module in plain.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    observed = observe(copy.deepcopy(plain), models.IMAGES)
    models.switch_rounding(observed, False)
    return plain, observed


def test_evaluation_mode(pair: tuple[nn.Module, nn.Module]) -> None:
    plain, observed = (model.eval() for model in pair)
    x = models.images()
    torch.testing.assert_close(observed(x), plain(x), rtol=1e-4, atol=1e-5)


def test_training_mode_gradients_and_statistics(pair: tuple[nn.Module, nn.Module]) -> None:
    plain, observed = pair
    for _ in range(3):
        x = models.images()
        results = [model(x) for model in pair]
        for model, result in zip(pair, results, strict=True):
            model.zero_grad()
            result.square().mean().backward()
        torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)
    gradients = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
    largest = max(gradient.abs().max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        found = observed.get_parameter(name).grad
        assert (found - gradient).abs().max() < 2e-5 * largest, name
    buffers = dict(observed.named_buffers())
    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(buffers[name], buffer, rtol=1e-4, atol=1e-5, msg=name)


def test_a_channel_without_scale_stays_finite() -> None:
    plain = models.seasoned(models.Residual(dropout=0.0))
    with torch.no_grad():
        plain.norm.weight[2] = 0
    observed = observe(copy.deepcopy(plain), models.IMAGES)
    models.switch_rounding(observed, False)
    x = models.images()
    result = observed(x)
    torch.testing.assert_close(result, plain(x), rtol=1e-4, atol=1e-5)
    result.square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in observed.parameters())
