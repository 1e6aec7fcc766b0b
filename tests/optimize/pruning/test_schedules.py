"""Pruning during training: the share of zeros follows the schedule, ends where it has to, and a run that is
resumed is the run that wasn't interrupted."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from edgetrain.artifacts.transforms import KeptChannels
from edgetrain.engine.step_hooks import StepHook
from edgetrain.models.transforms import apply_transforms
from edgetrain.optimize.pruning import PruneResult, prune, sparse_layers
from edgetrain.optimize.pruning.channels import removed_rows

TOTAL = 20
X = torch.randn(16, 3, 6, 6, generator=torch.Generator().manual_seed(1))
Y = torch.randint(0, 4, (16,), generator=torch.Generator().manual_seed(2))


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 20), nn.ReLU(),
        nn.Linear(20, 4),
    )  # fmt: skip


class Run:
    """A training with a hook; momentum, so that what was pruned is pushed on."""

    def __init__(self, model: nn.Module, hook: StepHook) -> None:
        self.model, self.hook, self.step = model, hook, 0
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)

    def go(self, until: int = TOTAL) -> list[float]:
        """The share of zeros after each step."""
        shares = []
        while self.step < until:
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(X), Y).backward()
            self.optimizer.step()
            self.step += 1
            self.hook.after_step(self.model, self.step, TOTAL)
            shares.append(share(self.model))
        return shares


def share(model: nn.Module) -> float:
    weights = [p for p in model.parameters() if p.dim() > 1]
    return sum(int((w == 0).sum()) for w in weights) / sum(w.numel() for w in weights)


def scheduled(schedule: str, kind: str = "unstructured", **settings: object) -> PruneResult:
    ratio = 0.6 if kind == "unstructured" else None
    return prune(net(), ratio, kind=kind, schedule=schedule, over=0.5, **settings)


def test_gradual_pruning_follows_a_cubic_curve() -> None:
    result = scheduled("gradual")
    assert result.hook is not None
    assert share(result.model) == 0
    shares = Run(result.model, result.hook).go()
    for step, found in enumerate(shares[:10], start=1):
        assert found == pytest.approx(0.6 * (1 - (1 - step / 10) ** 3), abs=1e-3)
    assert shares[10:] == [shares[9]] * 10
    assert shares[9] == pytest.approx(0.6, abs=1e-3)
    assert [result.hook.settled(step, TOTAL) for step in (1, 9, 10, 20)] == [False, False, True, True]


def test_gradual_pruning_of_groups() -> None:
    result = scheduled("gradual", "3:4")
    assert result.hook is not None
    run = Run(result.model, result.hook)
    shares = run.go()
    # Zeros of 4: the whole part of 3 times the cubic.
    expected = [int(3 * (1 - (1 - min(1, step / 10)) ** 3) + 1e-9) / 4 for step in range(1, 21)]
    assert shares == pytest.approx(expected, abs=0.02), (
        "the end of the first layer's rows has a share of them"
    )
    rows = run.model[4].weight.reshape(-1, 4)
    assert ((rows == 0).sum(1) == 3).all()


@pytest.mark.parametrize("kind", ["unstructured", "2:4"])
def test_blended_weights_fade_and_are_gone(kind: str) -> None:
    result = scheduled("blend", kind)
    assert result.hook is not None
    run, ratio = Run(result.model, result.hook), 0.5 if kind == "2:4" else 0.6
    whole = result.model[4].weight.detach().clone()
    assert run.go(9) == [0.0] * 9
    least = round(ratio * whole.numel())
    faded, before = (w.abs().flatten().sort().values[:least].sum() for w in (result.model[4].weight, whole))
    assert 0 < faded < 0.3 * before, "after nine tenths of the way"
    assert run.go() == pytest.approx([ratio] * 11, abs=0.02)
    for layer in sparse_layers(result.model, result.transforms):
        weight = result.model.get_parameter(f"{layer.layer}.weight")
        assert layer.zeros == pytest.approx(float((weight == 0).float().mean()))


def test_fading_is_a_line() -> None:
    """Without gradients, what is pruned goes to zero in equal steps."""
    result = scheduled("blend")
    assert result.hook is not None
    model, whole = result.model, net()
    pruned = copy.deepcopy(net())
    prune(pruned, 0.6, kind="unstructured")
    gone = pruned[4].weight == 0
    for step in range(1, 13):
        result.hook.after_step(model, step, TOTAL)
        left = max(0.0, 1 - step / 10)
        torch.testing.assert_close(model[4].weight[gone], left * whole[4].weight[gone])
        assert torch.equal(model[4].weight[~gone], whole[4].weight[~gone])


def test_channels_fade_and_cutting_them_changes_nothing() -> None:
    result = prune(net(), 0.5, inputs={"x": X}, schedule="blend", over=0.5)
    assert result.hook is not None
    assert result.transforms == ()
    assert any(isinstance(t, KeptChannels) for t in result.afterwards)
    rows = removed_rows(result.model, result.afterwards)
    run = Run(result.model, result.hook)
    run.go()
    for name, (dim, indices) in rows.items():
        parameter = result.model.get_parameter(name)
        assert not parameter.index_select(dim, torch.tensor(indices)).any(), name
        assert parameter.any()
    model = result.model.eval()
    with torch.no_grad():
        before = model(X)
        cut = apply_transforms(model, result.afterwards)
        torch.testing.assert_close(cut(X), before)
    assert cut[0].out_channels == 4


@pytest.mark.parametrize("schedule", ["gradual", "blend"])
@pytest.mark.parametrize("kind", ["unstructured", "2:4", "channel"])
def test_a_run_can_be_resumed(schedule: str, kind: str) -> None:
    if kind == "channel" and schedule == "gradual":
        return

    def start() -> Run:
        ratio = None if kind == "2:4" else 0.5
        result = prune(net(), ratio, kind=kind, inputs={"x": X}, schedule=schedule, over=0.5)
        assert result.hook is not None
        return Run(result.model, result.hook)

    whole = start()
    whole.go()
    first = start()
    first.go(7)
    second = start()
    assert second.hook.settings == first.hook.settings
    second.model.load_state_dict(first.model.state_dict())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.step = 7
    second.go()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], tensor), name


def test_settings_tell_schedules_apart() -> None:
    import json

    found = [
        scheduled("gradual").hook,
        scheduled("blend").hook,
        scheduled("blend", "2:4").hook,
        scheduled("blend", skip=["0"]).hook,
        prune(net(), 0.5, inputs={"x": X}, schedule="blend").hook,
        prune(net(), 0.4, inputs={"x": X}, schedule="blend").hook,
    ]
    plain = [json.dumps(hook.settings) for hook in found if hook is not None]
    assert len(set(plain)) == len(found)
