"""Steps of several batches, clipped, with learning rates of their own: against one model in plain PyTorch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.artifacts.program import load_program
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.engine.optimizers import Moments
from edgetrain.models import build_model
from edgetrain.runtimes import open_session
from edgetrain.runtimes.stepping import Stepper

CONFIG = OptimizerConfig(name="sgd", lr=0.05, momentum=0.9, clip_norm=0.5, groups={"classifier.*": 0.2})


def _batch(batch: Any, size: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs, targets = batch(size, seed=seed)
    return {"inputs": inputs}, {"targets": targets}


@pytest.mark.parametrize("runtime", ["executorch", "torch"])
def test_several_batches_make_the_step_of_one_large(digits_program: Any, batch: Any, runtime: Any) -> None:
    """The last one is smaller."""
    program = load_program(digits_program.program)
    stepper = Stepper(open_session(runtime, program, threads=1), CONFIG)
    model = build_model(program.manifest.model)
    model.load_state_dict(program.tensors())
    groups = [
        {"params": [p for n, p in model.named_parameters() if n.startswith("classifier") is head], "lr": lr}
        for head, lr in ((False, 0.05), (True, 0.2))
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    session = stepper._session
    for step in range(3):
        parts = [_batch(batch, size, 10 * step + size) for size in (8, 8, 3)]
        outcomes = stepper.forward_backward(parts)
        assert [outcome.sums["count"].item() for outcome in outcomes] == [8, 8, 3]
        stepper.update(0.05)
        optimizer.zero_grad()
        inputs = torch.cat([inputs["inputs"] for inputs, _ in parts])
        targets = torch.cat([targets["targets"] for _, targets in parts])
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        assert sum(o.sums["loss_sum"].item() for o in outcomes) / 19 == pytest.approx(loss.item(), rel=1e-5)
        assert nn.utils.clip_grad_norm_(model.parameters(), 0.5) > 0.5
        optimizer.step()
        for name, parameter in model.named_parameters():
            found = session.parameters[name]
            assert (found - parameter).norm() <= 1e-5 * parameter.norm(), (step, name)


class _OneNumber:
    """Stands for a session with one parameter and the gradients it is given."""

    def __init__(self) -> None:
        self.parameters = {"w": torch.zeros(1)}
        self.gradients: dict[str, torch.Tensor] = {}

    def train(self, inputs: Any, targets: Any) -> Any:
        self.gradients = {"w": inputs["x"].mean(0, keepdim=True)}
        return SimpleNamespace(loss=0.0)


def _stepper(moments: Moments | None = None, **settings: Any) -> tuple[Any, Stepper]:
    session: Any = _OneNumber()
    return session, Stepper(session, OptimizerConfig.model_validate(settings), moments)


def test_each_batch_counts_by_its_size() -> None:
    session, stepper = _stepper(lr=1.0, momentum=0)
    stepper.forward_backward([({"x": torch.full((3,), 1.0)}, {}), ({"x": torch.full((1,), 9.0)}, {})])
    assert stepper.gradients["w"].item() == 3.0
    stepper.update(0.5)
    assert session.parameters["w"].item() == -1.5


def test_moments_before_the_first_step_are_those_it_goes_on_from() -> None:
    found = Moments(4, {"w": torch.tensor([2.0])})
    session, stepper = _stepper(found, lr=1.0, momentum=0.5)
    assert stepper.moments() is found
    stepper.forward_backward([({"x": torch.ones(2)}, {})])
    stepper.update(1.0)
    assert session.parameters["w"].item() == -2.0
    assert (stepper.moments().steps, stepper.moments().first["w"].item()) == (5, 2.0)
