"""Steps of a program's own optimizer: against torch.optim on the gradients of the same program."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import Program, load_program
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.engine.optimizers import Moments
from edgetrain.engine.program_optimizer import own_optimizer
from edgetrain.export import export
from edgetrain.runtimes import open_session
from edgetrain.runtimes.stepping import Stepper, StepperInGraph, StepperOutside, gradients_of, make_stepper

SGD = {"name": "sgd", "momentum": 0.9}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "momentum": SGD,
    "plain": {"momentum": 0.0, "weight_decay": 0.01},
    "nesterov": {"nesterov": True, "weight_decay": 0.01},
    "dampening": {"dampening": 0.3},
    # With a smaller eps they would step by the sign of rounding errors where a gradient is zero but for them.
    "adam": {"name": "adam", "weight_decay": 0.01, "eps": 1e-3},
    "adamw": {"name": "adamw", "weight_decay": 0.1, "eps": 1e-3},
    "groups": {"lr": 0.1, "groups": {"*.bias": 0.05, "classifier.*": 0.3}},
}
Exporter = Callable[..., Program]


@pytest.fixture(scope="module")
def exported(digits_program: Any, tmp_path_factory: pytest.TempPathFactory) -> Exporter:
    """The digits program with an optimizer of its own."""
    made: dict[str, Program] = {}

    def make(optimizer: dict[str, Any], **settings: Any) -> Program:
        key = json.dumps([optimizer, settings])
        if key not in made:
            config = ExportCommand.model_validate({"optimizer": optimizer, "export": settings})
            folder = tmp_path_factory.mktemp("exported")
            made[key] = load_program(export(config, digits_program.checkpoint, folder / "model").program)
        return made[key]

    return make


def _batches(batch: Any, count: int, size: int = 8) -> list[Any]:
    drawn = [batch(size, seed=step) for step in range(count)]
    return [({"inputs": inputs}, {"targets": targets}) for inputs, targets in drawn]


def _run(stepper: Stepper, batches: list[Any], lr: float = 0.02) -> list[float]:
    """Steps with a learning rate that changes."""
    return [stepper.step([batch], lr * (1 + step % 3))[0].loss for step, batch in enumerate(batches)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in ("momentum", "adamw") else pytest.mark.thorough) for n in OPTIMIZERS],
)
def test_it_is_torchs(exported: Exporter, batch: Any, name: str) -> None:
    program = exported(OPTIMIZERS[name])
    config = own_optimizer(program.manifest.contract, 0.02 if "adam" not in name else 0.002)
    inside, outside = (open_session("executorch", program, threads=1) for _ in range(2))
    steppers = [make_stepper(inside, config), StepperOutside(outside, config)]
    assert isinstance(steppers[0], StepperInGraph)
    batches = _batches(batch, 20)
    losses = [_run(stepper, batches, config.lr) for stepper in steppers]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    for found, expected in (
        (inside.changed_tensors(), outside.changed_tensors()),
        (steppers[0].moments().first, steppers[1].moments().first),
        (steppers[0].moments().second, steppers[1].moments().second),
    ):
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            assert (found[key] - tensor).norm() <= 1e-6 * tensor.norm() + 1e-9, key


def test_every_runtime_takes_the_same_steps(exported: Exporter, batch: Any) -> None:
    """PyTorch has no graph to leave them to."""
    program = exported(SGD)
    config, losses = own_optimizer(program.manifest.contract, 0.02), {}
    for runtime, kind in (("executorch", StepperInGraph), ("torch", StepperOutside)):
        stepper = make_stepper(open_session(runtime, program, threads=1), config)  # type: ignore[arg-type]
        assert isinstance(stepper, kind)
        losses[runtime] = _run(stepper, _batches(batch, 8))
    assert losses["executorch"] == pytest.approx(losses["torch"], rel=1e-5)


@pytest.mark.parametrize("settings", [{"clip_norm": 0.5}, {"momentum": 0.5}, {"name": "adam"}])
def test_another_optimizer_gets_gradients(exported: Exporter, settings: dict[str, Any]) -> None:
    session = open_session("executorch", exported(SGD), threads=1)
    assert isinstance(make_stepper(session, OptimizerConfig.model_validate(settings)), StepperOutside)
    assert isinstance(make_stepper(session, OptimizerConfig(), accumulate=2), StepperOutside)


def test_a_run_in_two_parts_is_the_same(exported: Exporter, batch: Any) -> None:
    program, batches = exported(SGD), _batches(batch, 6)
    config = own_optimizer(program.manifest.contract, 0.02)
    whole = open_session("executorch", program, threads=1)
    _run(make_stepper(whole, config), batches)
    session = open_session("executorch", program, threads=1)
    first = make_stepper(session, config)
    assert first.moments() == Moments()
    _run(first, batches[:3])
    moments = first.moments()
    assert moments.steps == 3
    kept = {name: tensor.clone() for name, tensor in moments.first.items()}
    for state in session.states.values():
        state.fill_(7.0)
    second = make_stepper(session, config, moments=Moments(3, kept))
    assert second.moments().first is kept
    _run(second, batches[3:])
    expected = whole.changed_tensors()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in session.changed_tensors().items())


def test_a_new_run_begins_with_zeros(exported: Exporter, batch: Any) -> None:
    program, batches = exported(SGD), _batches(batch, 2)
    session = open_session("executorch", program, threads=1)
    config = own_optimizer(program.manifest.contract, 0.02)
    _run(make_stepper(session, config), batches)
    make_stepper(session, config)
    assert not any(state.any() for state in session.states.values())


def test_gradients_leave_everything_alone(exported: Exporter, batch: Any) -> None:
    program = exported(SGD)
    session, eager = (open_session(name, program, threads=1) for name in ("executorch", "torch"))
    before = session.changed_tensors()
    (one,) = _batches(batch, 1)
    found, expected = gradients_of(session, one), gradients_of(eager, one)
    assert all(torch.allclose(found[name], expected[name], rtol=1e-4, atol=1e-6) for name in expected)
    assert all(torch.equal(tensor, before[name]) for name, tensor in session.changed_tensors().items())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["momentum", pytest.param("adam", marks=pytest.mark.thorough)])
def test_batches_in_parts_give_the_numbers_of_whole_ones(
    exported: Exporter, batch: Any, optimizer: str
) -> None:
    """Of 8 samples in parts of 3; two batches add up as well."""
    settings = OPTIMIZERS[optimizer]
    program, parts = exported(settings), exported(settings, micro_batch=3)
    assert parts.manifest.contract.max_batch_size == 3
    config, batches = own_optimizer(program.manifest.contract, 0.002), _batches(batch, 6)
    steppers = [
        StepperOutside(open_session("executorch", program, threads=1), config),
        make_stepper(open_session("executorch", parts, threads=1), config, accumulate=2),
        StepperOutside(open_session("executorch", parts, threads=1), config),
    ]
    assert isinstance(steppers[1], StepperInGraph)
    for at in range(0, 6, 2):
        expected, *others = (stepper.step(batches[at : at + 2], 0.002) for stepper in steppers)
        for outcomes in others:
            for outcome, other in zip(outcomes, expected, strict=True):
                assert outcome.loss == pytest.approx(other.loss, rel=1e-5)
                assert outcome.sums["count"] == 8
                assert torch.equal(outcome.predictions["class"], other.predictions["class"])


def test_a_program_without_gradients(exported: Exporter, batch: Any) -> None:
    program = exported(SGD, update_in_graph="on")
    assert "gradients" not in program.manifest.contract.methods
    stepper = make_stepper(open_session("executorch", program, threads=1), OptimizerConfig())
    losses = _run(stepper, _batches(batch, 1) * 10)
    assert losses[-1] < losses[0]
    assert stepper.gradients == {}
