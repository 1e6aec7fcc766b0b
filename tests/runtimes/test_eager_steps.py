"""What eager PyTorch knows of its own results."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.specs import INPUTS, TARGETS, TaskSpec
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.runtimes.eager_steps import EagerSteps, Moves, sensitivity_of
from edgetrain.tasks import make_task


class Net(nn.Module):
    """With a state that it makes itself, in the usual dtype or in one that it names."""

    def __init__(self, named: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)
        self.named = named

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(len(x), 5, dtype=torch.float32) if self.named else torch.zeros(len(x), 5)
        return self.last(torch.baddbmm(state[None], x[None], self.first.weight.T[None])[0].tanh())


def steps(model: nn.Module, **optimizer: object) -> EagerSteps:
    task = make_task(TaskSpec(name="classification", loss="cross_entropy"))
    return EagerSteps(model, task, "frozen", OptimizerConfig(lr=0.01, **optimizer))


def batch() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(6, 4, generator=generator)
    return {INPUTS: inputs}, {TARGETS: torch.randint(0, 3, (6,), generator=generator)}


def test_float64_is_the_judge() -> None:
    model = Net()
    before = [p.clone() for p in model.parameters()]
    truths = steps(model).truths(*batch(), 2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    expected = Net().double()
    inputs, targets = batch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "zeros", lambda *shape, **_: torch.full(shape, 0.0, dtype=torch.float64))
        loss = nn.functional.cross_entropy(expected(inputs[INPUTS].double()), targets[TARGETS])
    loss.backward()
    assert expected.last.weight.grad is not None
    exact = truths["gradient of last.weight"].exact
    torch.testing.assert_close(exact, expected.last.weight.grad, rtol=1e-12, atol=0)
    assert 0 < truths["gradient of last.weight"].own_error < 1e-6
    assert sensitivity_of(truths) < 1e-4
    assert {t.own for n, t in truths.items() if n.startswith("loss of")} == {truths["loss of step 2"].own}
    assert "gradient of first.bias" not in truths, "it isn't used"


def test_a_model_that_wants_float32_is_its_own_judge() -> None:
    model = Net(named=True)
    truths = steps(model).truths(*batch(), 1)
    reference = steps(model).run(*batch(), 1)
    gradient = truths["gradient of first.weight"]
    assert torch.equal(gradient.exact, reference.quantities["gradient of first.weight"].double())
    assert gradient.own > 0, "as far as it moves with its weights"


def test_terms_of_changes_are_those_of_sgd() -> None:
    sgd = steps(Net()).truths(*batch(), 3)
    size = sgd["gradient of last.bias"].terms
    assert size > 0
    assert sgd["change of last.bias"].terms == pytest.approx(0.03 * size)
    adam = steps(Net(), name="adam").truths(*batch(), 3)
    assert adam["change of last.bias"].terms == 0


class NearKink(nn.Module):
    """The hidden unit's input is a few roundings above 0; what follows has gradients ten thousand times as
    large."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.last = nn.Linear(2, 1, bias=False), nn.Linear(1, 3)
        with torch.no_grad():
            self.hidden.weight.copy_(torch.tensor([[-1.0 + 6e-7, 1.0]]))
            self.last.weight.copy_(torch.tensor([[1e-4], [-2e-4], [3e-4]]))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x).relu())


def test_a_kink_that_is_some_roundings_away_is_found() -> None:
    inputs, targets = {INPUTS: torch.ones(1, 2)}, {TARGETS: torch.zeros(1, dtype=torch.int64)}
    evidence = steps(NearKink()).evidence(inputs, targets, 1)
    found = {moves: evidence.truths(moves) for moves in Moves}
    name = "gradient of hidden.weight"
    assert found[Moves.NONE][name].own_error < 1e-5
    assert found[Moves.ROUNDING][name].own_error < 1e-5
    assert found[Moves.KINKS][name].own_error == pytest.approx(1, rel=1e-5), "all of it or nothing"
    assert sensitivity_of(found[Moves.KINKS]) == pytest.approx(1, rel=1e-5), "though it is small"
    last = "gradient of last.bias"
    assert found[Moves.KINKS][last].own < 4 * found[Moves.ROUNDING][last].own, "which hasn't jumped"
