"""Which models are captured by running them, and which by reading their code."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgetrain.export import capture
from edgetrain.export.capture import export_graph

X = torch.randn(3, 4)


class Tied(nn.Module):
    """Layers that share their weight, and a parameter that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.spare = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.a(x)).relu_()


class Straight(torch.autograd.Function):
    """A gradient that isn't that of what is computed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


class Drawing(nn.Module):
    def __init__(self, draw: Callable[[], float]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return x * self.draw()


class Rounded(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rounded: Tensor = Straight.apply(x)
        return rounded * 2


def strictness(monkeypatch: pytest.MonkeyPatch, model: nn.Module) -> list[bool]:
    """Of the captures that give the graph of a model: `strict`."""
    found: list[bool] = []
    exported = capture._exported

    def watching(*args: Any, strict: bool) -> Any:
        found.append(strict)
        return exported(*args, strict=strict)

    monkeypatch.setattr(capture, "_exported", watching)
    try:
        export_graph(model, (X,), 8)
    except Exception:  # what is drawn may be refused
        assert found[-1]
    return found


def test_a_plain_model_is_run_and_named_as_it_lists_its_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tied()
    assert strictness(monkeypatch, model) == [False]
    program = export_graph(model, (X,), 8)
    names = set(program.graph_signature.inputs_to_parameters.values())
    assert names == {"a.weight", "a.bias", "b.bias"}
    torch.testing.assert_close(program.module(check_guards=False)(X), model(X))


@pytest.mark.parametrize(
    "model",
    [Drawing(random.random), Drawing(lambda: float(np.random.rand())), Rounded()],
    ids=["Python's numbers", "NumPy's numbers", "a gradient of its own"],
)
def test_what_running_would_not_show_is_read(monkeypatch: pytest.MonkeyPatch, model: nn.Module) -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()
    with monkeypatch.context() as patched:
        assert strictness(patched, model)[0] is False
    with monkeypatch.context() as patched:
        assert strictness(patched, model)[-1] is True
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


class Gathering(nn.Module):
    """Takes more than it needs, as detectors do that are called in several ways."""

    def forward(self, x: Tensor, *more: Tensor, scale: float = 2.0) -> Tensor:
        return sum(more, x) * scale


@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_batch_where_more_inputs_may_follow(count: int) -> None:
    model, inputs = Gathering(), tuple(torch.randn(3, 4) for _ in range(count))
    program = export_graph(model, inputs, 8)
    others = [tensor[:1].repeat(5, 1) for tensor in inputs]
    torch.testing.assert_close(program.module()(*others), model(*others))
