"""The search as a whole, with a planner that takes no time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import export_models as models
import pytest

from edgetrain.config.update_rules import read_update_rules
from edgetrain.errors import CheckFailedError, UsageError
from edgetrain.export.batches import Batch, batch_maker
from edgetrain.export.budget import Chosen, choose_update
from edgetrain.export.pipeline import Subject
from edgetrain.export.updates.scheme import Scheme
from edgetrain.reporting import SILENT

# Of each layer: the bytes of its parameters, and of what has to be kept to reach it.
BYTES = {"0": (672, 3000), "2": (4800, 2000), "4": (1568, 1000), "6": (144, 400)}


class Planner:
    """Says what it made up: `forward` for the forward pass, and what every trained part adds."""

    def __init__(
        self, impossible: str = "", forward: int = 5000, error: type[Exception] = CheckFailedError
    ) -> None:
        self.impossible, self.forward, self.error = impossible, forward, error
        self.planned: list[int] = []

    def __call__(self, scheme: Scheme) -> int:
        trained = {rule.pattern or "": rule.train for rule in scheme.rules}
        if self.impossible in trained:
            raise self.error(f"no kernel for {self.impossible}")
        shares = {
            name: 0.05 if how == "bias" else 1.0 if how == "all" else how for name, how in trained.items()
        }
        weights = sum(BYTES[name][0] * float(share) for name, share in shares.items())
        reach = max(BYTES[name][1] for name in trained)
        self.planned.append(round(max(self.forward, reach + 3000) + 2 * weights))
        return self.planned[-1]


def choose(subject: Subject, budget: int | str, plan: Callable[[Scheme], int], **settings: Any) -> Chosen:
    """With momentum, without calibration data."""
    samples = settings.pop("samples", None)
    config = models.command(update=f"budget:{budget}", max_batch_size=8, **settings)
    subject = replace(subject, config=config)
    return choose_update(subject, samples, batch_maker(subject), plan, SILENT)


def test_everything_where_it_fits(subject: Subject) -> None:
    plan = Planner()
    chosen = choose(subject, "1MB", plan)
    assert [(rule.pattern, rule.train) for rule in chosen.rules] == [(name, "all") for name in BYTES]
    assert chosen.gain == pytest.approx(1)
    assert (len(plan.planned), chosen.planned, chosen.budget) == (1, 20368, 1_000_000)


def test_larger_budgets_gain_more(subject: Subject, samples: Batch) -> None:
    gains = []
    for budget in (5300, 6000, 8000, 12_000, 16_000, 20_368):
        chosen = choose(subject, budget, plan := Planner(), samples=samples)
        assert chosen == choose(subject, budget, Planner(), samples=samples)
        assert chosen.planned == plan(chosen.scheme) <= budget
        assert (chosen.rules[-1].pattern, chosen.rules[-1].train) == ("6", "all")
        assert len(plan.planned) <= 9
        gains.append(chosen.gain)
    assert gains == sorted(gains)
    assert gains[0] < gains[2] < gains[-1]


def test_less_than_the_head(subject: Subject) -> None:
    """The whole head takes 5288 bytes."""
    chosen = choose(subject, 5200, Planner())
    assert chosen.planned <= 5200
    assert [rule.train for rule in chosen.rules if rule.pattern == "6"] != ["all"]


def test_the_least_is_named(subject: Subject) -> None:
    named = r"budget:1kB: the least found for training is 5,014 bytes, .* of 6; give budget:5014 or"
    with pytest.raises(UsageError, match=named):
        choose(subject, "1kB", Planner())
    assert choose(subject, 5014, Planner()).planned == 5014


@pytest.mark.parametrize("error", [CheckFailedError, UsageError])
def test_what_cant_be_trained(subject: Subject, error: type[Exception]) -> None:
    """Since the runtime can't, or since other settings, as a backbone, don't allow it."""
    chosen = choose(subject, "1MB", Planner(impossible="0", error=error))
    assert [rule.pattern for rule in chosen.rules] == ["2", "4", "6"]
    with pytest.raises(error, match="no kernel"):
        choose(subject, "1MB", Planner(impossible="6", error=error), trainable=["6.*"])


def test_only_what_is_allowed(subject: Subject) -> None:
    chosen = choose(subject, "1MB", Planner(), trainable=["2.*", "4.bias"])
    assert [(rule.pattern, rule.train) for rule in chosen.rules] == [("2", "all"), ("4", "bias")]


def test_it_says_what_it_measured_on(subject: Subject, samples: Batch, listener: type[Any]) -> None:
    config = models.command(update="budget:1MB")
    for given in (None, samples):
        heard = listener()
        choose_update(replace(subject, config=config), given, batch_maker(subject), Planner(), heard)
        assert any("random samples" in message for message in heard.messages) == (given is None)
        assert heard.messages[-1].startswith("training under 1.000 MB: predicted 0.0")


def test_rules_as_a_file(subject: Subject, tmp_path: Any) -> None:
    chosen = choose(subject, 8000, Planner())
    file = tmp_path / "model.update.yaml"
    file.write_text(chosen.file)
    assert read_update_rules(file) == chosen.rules
    assert chosen.file.startswith("# chosen for at most 8,000 bytes; planned are ")
