"""When a program's own optimizer is the one that a run asks for."""

from __future__ import annotations

from typing import Any

import pytest

from edgetrain.artifacts.contract import Contract, Dimension, Metric
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.engine.program_optimizer import own_optimizer, why_outside, with_own_settings
from edgetrain.errors import UsageError


def _contract(own: dict[str, Any] | None, *, splits: bool = False) -> Contract:
    return Contract(
        dimensions={"batch": Dimension(most=4)},
        methods={},
        tensors=[],
        metrics=[Metric(name="loss", top="loss_sum", bottom="count", better="lower")],
        best=["loss"],
        optimizer=None if own is None else OptimizerConfig.model_validate(own),
        splits_batches=splits,
    )


SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.8, "groups": {"head.*": 0.2}}


@pytest.mark.parametrize(
    ("own", "asked"),
    [
        ({}, {}),
        ({"lr": 0.5, "clip_norm": 1.0}, {"lr": 0.1}),
        # What only Adam reads.
        ({"beta1": 0.5, "eps": 1e-3}, {}),
        ({"name": "adam", "momentum": 0.1}, {"name": "adam", "nesterov": True}),
        # The same in relation to the learning rate.
        (SGD, {**SGD, "lr": 0.3, "groups": {"head.*": 0.3 * (0.2 / 0.1)}}),
    ],
)
def test_it_does_what_is_asked_for(own: dict[str, Any], asked: dict[str, Any]) -> None:
    assert why_outside(_contract(own), OptimizerConfig.model_validate(asked)) is None


@pytest.mark.parametrize(
    ("own", "asked", "why"),
    [
        (None, {}, "the program has no optimizer of its own"),
        ({}, {"clip_norm": 1.0}, "clip_norm needs all gradients of a step at once"),
        ({"name": "adam"}, {}, "the program's own optimizer is adam, not sgd"),
        ({}, {"momentum": 0.5}, "the program's own optimizer has momentum 0.9, not 0.5"),
        ({}, {"dampening": 1.0}, "the program's own optimizer has dampening 0, not 1"),
        ({}, {"nesterov": True}, "the program's own optimizer has nesterov false, not true"),
        (
            {"name": "adamw"},
            {"name": "adamw", "eps": 0.1},
            "the program's own optimizer has eps 1e-08, not 0.1",
        ),
        (SGD, {**SGD, "groups": {}}, "the program's own optimizer has other groups"),
        (SGD, {**SGD, "groups": {"head.*": 0.1}}, "other groups"),
        (SGD, {**SGD, "lr": 0.2}, "or another learning rate for the rest"),
    ],
)
def test_why_another_has_to(own: dict[str, Any] | None, asked: dict[str, Any], why: str) -> None:
    found = why_outside(_contract(own), OptimizerConfig.model_validate(asked))
    assert found is not None
    assert why in found


def test_several_batches_are_added_up_in_a_program_that_splits_them() -> None:
    config = OptimizerConfig()
    assert why_outside(_contract({}, splits=True), config, 3) is None
    assert why_outside(_contract({}), config, 3) == "accumulate adds up the gradients of several batches"


def test_what_nobody_chose_is_the_programs() -> None:
    contract = _contract({**SGD, "weight_decay": 0.01, "clip_norm": 3.0})
    found = with_own_settings(OptimizerConfig(lr=0.5, weight_decay=0.0), contract)
    assert found == OptimizerConfig(lr=0.5, momentum=0.8, groups={"head.*": 1.0})
    assert with_own_settings(found, contract) == found
    plain = with_own_settings(OptimizerConfig(), contract)
    assert (plain.lr, plain.clip_norm) == (0.01, None)
    assert why_outside(contract, plain) is None
    assert with_own_settings(OptimizerConfig(groups={}), contract).groups == {}
    assert with_own_settings(OptimizerConfig(lr=0.5), _contract(None)) == OptimizerConfig(lr=0.5)


def test_another_optimizer_takes_nothing_from_the_program() -> None:
    adam = OptimizerConfig(name="adam")
    assert with_own_settings(adam, _contract({**SGD, "weight_decay": 0.01})) == adam


def test_settings_that_do_not_go_together() -> None:
    with pytest.raises(UsageError, match=r"nesterov needs a momentum.* as in the program's own optimizer"):
        with_own_settings(OptimizerConfig(momentum=0.0), _contract({"nesterov": True}))


def test_a_programs_own() -> None:
    assert own_optimizer(_contract(None), 0.5) == OptimizerConfig(lr=0.5, momentum=0.9)
    own = {"name": "adamw", "weight_decay": 0.1, "clip_norm": 1.0, "groups": {"a": 0.02}}
    assert own_optimizer(_contract(own), 0.5) == OptimizerConfig(
        name="adamw", lr=0.5, weight_decay=0.1, groups={"a": 1.0}
    )
