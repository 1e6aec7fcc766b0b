"""Steps of several batches, clipped, with learning rates of their own: against one model in plain PyTorch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.program import Program, load_program
from edgetrain.artifacts.specs import InputSpec, TaskSpec, TensorSpec
from edgetrain.config.model import ModelConfig
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.engine.optimizers import Moments
from edgetrain.export import export
from edgetrain.models import build_model
from edgetrain.runtimes import open_session
from edgetrain.runtimes.base import Outcome
from edgetrain.runtimes.stepping import Stepper, gradients_of, make_stepper

CONFIG = OptimizerConfig(name="sgd", lr=0.05, momentum=0.9, clip_norm=0.5, groups={"classifier.*": 0.2})


def _batch(batch: Any, size: int, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    inputs, targets = batch(size, seed=seed)
    return {"inputs": inputs}, {"targets": targets}


@pytest.mark.parametrize("runtime", ["executorch", "torch"])
def test_several_batches_make_the_step_of_one_large(digits_program: Any, batch: Any, runtime: Any) -> None:
    """The last one is smaller."""
    program = load_program(digits_program.program)
    session = open_session(runtime, program, threads=1)
    stepper = make_stepper(session, CONFIG, 3)
    model = build_model(program.manifest.model)
    model.load_state_dict(program.tensors())
    groups = [
        {"params": [p for n, p in model.named_parameters() if n.startswith("classifier") is head], "lr": lr}
        for head, lr in ((False, 0.05), (True, 0.2))
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    for step in range(3):
        parts = [_batch(batch, size, 10 * step + size) for size in (8, 8, 3)]
        outcomes = stepper.step(parts, 0.05)
        assert [outcome.sums["count"].item() for outcome in outcomes] == [8, 8, 3]
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


@pytest.fixture(scope="module")
def token_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Scores of 5 classes for each of 6 tokens; a label of -100 counts for nothing."""
    folder = tmp_path_factory.mktemp("tokens")
    args = {"length": 6, "num_classes": 5, "vocabulary": 7, "width": 8, "heads": 2, "layers": 1}
    model = ModelConfig(name="text_transformer", args={**args, "tied": False})
    torch.manual_seed(0)
    checkpoint = Checkpoint(
        model=model,
        state=build_model(model).state_dict(),
        inputs={"ids": InputSpec(shape=(6,), dtype="int64")},
        targets={"labels": TensorSpec(shape=(6,), dtype="int64")},
        task=TaskSpec(name="token-classification", loss="cross_entropy", ignore_index=-100),
    )
    save_checkpoint(folder / "model.pth", checkpoint)
    config = ExportCommand.model_validate({"export": {"max_batch_size": 12}})
    return load_program(export(config, folder / "model.pth", folder / "model").program)


@pytest.mark.parametrize("runtime", ["executorch", "torch"])
def test_labels_that_are_ignored_make_a_batch_count_less(token_program: Program, runtime: Any) -> None:
    """Of three batches of one size one has all its labels, one a single one, one none."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 7, (12, 6), generator=generator)
    labels = torch.randint(0, 5, (12, 6), generator=generator)
    labels[4:] = -100
    labels[5, 2] = 3
    found = {}
    for size in (12, 4):
        session = open_session(runtime, token_program, threads=1)
        stepper = make_stepper(session, OptimizerConfig(name="sgd", lr=0.1, momentum=0), 3)
        batches = [({"ids": ids[i : i + size]}, {"labels": labels[i : i + size]}) for i in range(0, 12, size)]
        outcomes = stepper.step(batches, 0.1)
        gradients = {name: gradient.clone() for name, gradient in stepper.gradients.items()}
        found[size] = (gradients, session.changed_tensors())
    assert [outcome.sums["count"].item() for outcome in outcomes] == [24, 1, 0]
    for large, small in zip(found[12], found[4], strict=True):
        for name, expected in large.items():
            torch.testing.assert_close(small[name], expected, rtol=1e-5, atol=1e-6, msg=name)


class _OneNumber:
    """Stands for a session with one parameter and the gradients it is given."""

    def __init__(self, splits: bool = False) -> None:
        self.parameters = {"w": torch.zeros(1)}
        self.gradients: dict[str, torch.Tensor] = {}
        self.contract = SimpleNamespace(
            metrics=[SimpleNamespace(bottom="count")], optimizer=None, splits_batches=splits, max_batch_size=2
        )

    def forward_backward(self, inputs: Any, targets: Any) -> Outcome:
        self.gradients = {"w": inputs["x"].mean(0, keepdim=True)}
        count = inputs["count"].sum() if "count" in inputs else torch.tensor(float(len(inputs["x"])))
        return Outcome(inputs["x"].mean().item(), {"y": inputs["x"]}, {"count": count})

    @contextlib.contextmanager
    def statistics_kept(self) -> Iterator[None]:
        yield


def _stepper(moments: Moments | None = None, **settings: Any) -> tuple[Any, Stepper]:
    session: Any = _OneNumber()
    return session, make_stepper(session, OptimizerConfig.model_validate(settings), 2, moments)


def test_each_batch_counts_by_its_size() -> None:
    session, stepper = _stepper(lr=1.0, momentum=0)
    stepper.step([({"x": torch.full((3,), 1.0)}, {}), ({"x": torch.full((1,), 9.0)}, {})], 0.5)
    assert stepper.gradients["w"].item() == 3.0
    assert session.parameters["w"].item() == -1.5


def test_where_nothing_counts_gradients_are_zero() -> None:
    _, stepper = _stepper()
    stepper.step([({"x": torch.ones(2), "count": torch.zeros(2)}, {})] * 2, 0.1)
    assert stepper.gradients["w"].item() == 0.0


def test_moments_before_the_first_step_are_those_it_goes_on_from() -> None:
    found = Moments(4, {"w": torch.tensor([2.0])})
    session, stepper = _stepper(found, lr=1.0, momentum=0.5)
    assert stepper.moments() is found
    stepper.step([({"x": torch.ones(2)}, {})], 1.0)
    assert session.parameters["w"].item() == -2.0
    assert (stepper.moments().steps, stepper.moments().first["w"].item()) == (5, 2.0)


def test_a_batch_in_parts_gives_the_numbers_of_the_whole() -> None:
    session: Any = _OneNumber(splits=True)
    stepper = make_stepper(session, OptimizerConfig(momentum=0))
    (outcome,) = stepper.step([({"x": torch.tensor([1.0, 2.0, 3.0, 4.0, 10.0])}, {})], 1.0)
    assert stepper.gradients["w"].item() == pytest.approx(4.0)
    assert (outcome.loss, outcome.sums["count"].item()) == (pytest.approx(4.0), 5.0)
    assert outcome.predictions["y"].tolist() == [1.0, 2.0, 3.0, 4.0, 10.0]
    assert session.parameters["w"].item() == pytest.approx(-4.0)


def test_gradients_alone_change_nothing() -> None:
    session: Any = _OneNumber()
    assert gradients_of(session, ({"x": torch.ones(2)}, {}))["w"].item() == 1.0
    assert session.parameters["w"].item() == 0.0
