"""Single steps, against the same step written out in PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.specs import TaskSpec
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.data import Batch
from edgetrain.engine.optimizers import make_optimizer
from edgetrain.tasks import make_task
from edgetrain.training.distributed import World
from edgetrain.training.learner import Learner


class Two(nn.Module):
    """Takes its inputs by name; returns more than the task reads."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, 4), nn.Linear(2, 4)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        return {"aux": left, "out": self.left(left) + self.right(right)}


def learner(model: nn.Module, world: World | None = None, **optimizer: Any) -> Learner:
    config = OptimizerConfig.model_validate({"lr": 0.1, "momentum": 0.0, **optimizer})
    task = make_task(TaskSpec(name="classification", loss="cross_entropy"))
    made = make_optimizer(config, model.named_parameters())
    return Learner(model, task, made, config, world or World())


def batch(weight: float = 1.0) -> Batch:
    generator = torch.Generator().manual_seed(0)
    inputs = {name: torch.randn(5, n, generator=generator) for name, n in (("right", 2), ("left", 3))}
    return Batch(inputs, {"label": torch.tensor([0, 3, 1, 2, 0])}, weight)


def test_a_step() -> None:
    model, data = Two(), batch()
    output = model(**data.inputs)["out"]
    loss = nn.functional.cross_entropy(output, data.targets["label"])
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    before = [p.detach().clone() for p in model.parameters()]
    one = learner(model)
    outcome = one.compute_gradients(data)
    assert outcome.loss == pytest.approx(loss.item())
    assert outcome.samples == 5
    assert outcome.sums["count"].item() == 5
    assert outcome.sums["correct"].item() == (output.argmax(1) == data.targets["label"]).sum()
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    assert outcome.grad_norm == pytest.approx(norm.item(), rel=1e-5)
    one.update(0.1)
    for parameter, old, gradient in zip(model.parameters(), before, gradients, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.1 * gradient)


def test_gradients_are_clipped_together_and_reported_whole() -> None:
    model = Two()
    whole = learner(model).compute_gradients(batch()).grad_norm
    clipped = learner(model, clip_norm=whole / 2)
    assert clipped.compute_gradients(batch()).grad_norm == pytest.approx(whole)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert norm.item() == pytest.approx(whole / 2, rel=1e-4)


def test_groups_have_rates_of_their_own() -> None:
    model = Two()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    one = learner(model, groups={"left.*": 0.0})
    one.compute_gradients(batch())
    one.update(0.05)
    changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"right.weight", "right.bias"}


def test_names_are_the_models_whatever_wraps_it() -> None:
    """DistributedDataParallel's `forward` takes anything; the data's order here is not the model's."""

    class Wrapped(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.module = model

        def forward(self, *arguments: Any, **keywords: Any) -> Any:
            return self.module(*arguments, **keywords)

    class Wrapping(World):
        def wrap(self, model: nn.Module) -> nn.Module:
            return Wrapped(model)

    model = Two()
    assert learner(model, Wrapping()).compute_gradients(batch()).loss == pytest.approx(
        learner(model).compute_gradients(batch()).loss
    )


def test_a_batch_for_company_counts_for_nothing() -> None:
    one = learner(Two())
    assert one.compute_gradients(batch(weight=0.0)).samples == 0
    assert one.evaluate([batch(weight=0.0)]).samples == 0
    assert one.evaluate([batch(), batch(weight=0.0)]).sums["count"] == [5]
