"""The whole stage on a small model of digits: one recipe of everything, and what goes wrong."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.transforms import KeptChannels, KeptZeros, Observers
from edgetrain.config.data import DataConfig
from edgetrain.config.stages import ExportCommand, OptimizeCommand, TrainCommand
from edgetrain.data import load_dataset
from edgetrain.engine.step_hooks import StepHook
from edgetrain.errors import InputError, InterruptedRun, UsageError
from edgetrain.export import export
from edgetrain.export.calibration import read_calibration
from edgetrain.models.trusted import load_trusted_model
from edgetrain.optimize import OptimizeResult, QatSchedule, optimize, output_files, start_with_rounding
from edgetrain.reporting import SILENT, Reporter
from edgetrain.runtimes.inference import InferenceProgram
from edgetrain.tasks import make_task
from edgetrain.training import train

DATA = {"name": "digits", "images_per_class": 20, "test_images_per_class": 10}
TRAINING = {"batch_size": 32, "threads": 1, "device": "cpu"}
RECIPE = {
    "surgery": "lite",
    "prune": "channel",
    "prune_ratio": 0.3,
    "prune_schedule": "blend",
    "prune_epochs": 2,
    "quantize": "qat",
    "qat_epochs": 1,
}


def command(**settings: Any) -> OptimizeCommand:
    return OptimizeCommand.model_validate(
        {
            "data": DATA,
            "optimizer": {"lr": 0.005, "momentum": 0.9},
            "train": TRAINING,
            "optimize": settings,
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "model.pth"
    config = {
        "data": DATA,
        "optimizer": {"lr": 0.05, "momentum": 0.9},
        "train": {**TRAINING, "epochs": 12},
    }
    train(TrainCommand.model_validate(config), path)
    return path


@pytest.fixture(scope="module")
def all_of_it(trained: Path) -> OptimizeResult:
    return optimize(command(**RECIPE), trained, trained.with_name("all.pth"))


def test_a_recipe_of_everything(trained: Path, all_of_it: OptimizeResult) -> None:
    assert all_of_it.checkpoint == trained.with_name("all.pth")
    assert all_of_it.program is not None
    assert all(path.is_file() for path in output_files(command(**RECIPE), trained.with_name("all.pth")))
    before, surgery, pruning, rounding = all_of_it.report.steps
    assert [step.step for step in all_of_it.report.steps] == [
        "as it was",
        "surgery (lite)",
        "pruning (channel 30%)",
        "quantization (qat)",
    ]
    assert surgery.parameters == before.parameters
    assert pruning.parameters < 0.7 * before.parameters
    assert pruning.multiply_adds < 0.7 * before.multiply_adds
    assert rounding.program_bytes < 0.7 * pruning.program_bytes
    assert all(step.figures["accuracy"] > 0.3 for step in all_of_it.report.steps)  # type: ignore[operator]
    assert json.loads(all_of_it.report_path.read_text()) == all_of_it.report.model_dump(mode="json")

    layers = all_of_it.report.details["pruning"]["layers"]
    assert {layer["pattern"] for layer in layers} == {"channel"}
    assert all(layer["after"] < layer["before"] for layer in layers)
    noise = all_of_it.report.details["quantization"]
    assert 0.9 < noise["agreement"] <= 1
    # That of rounding alone: what its epochs of training changed is far more.
    assert noise["sqnr_db"]["output"] > 22


def test_what_it_leaves_is_a_checkpoint(trained: Path, all_of_it: OptimizeResult) -> None:
    path = trained.with_name("all.pth")
    checkpoint = load_checkpoint(path)
    kinds = {type(transform) for transform in checkpoint.transforms}
    assert {KeptChannels, Observers} <= kinds
    model = load_trusted_model(checkpoint, source=str(path)).eval()
    inputs = torch.rand(4, 1, 8, 8)
    assert all_of_it.program is not None
    program = InferenceProgram(all_of_it.program)
    for row in range(4):
        found = program.run(inputs[row : row + 1])[0]
        expected = model(inputs[row : row + 1])
        assert (found - expected).abs().max() < 0.1 * expected.abs().max(), "the program rounds alike"
    start = TrainCommand.model_validate({"data": DATA, "train": {**TRAINING, "epochs": 1}})
    further = train(start, trained.with_name("further.pth"), start=checkpoint)
    assert load_checkpoint(further.checkpoint).transforms == checkpoint.transforms


def test_it_is_exported_for_training(trained: Path, all_of_it: OptimizeResult, tmp_path: Path) -> None:
    config = ExportCommand.model_validate({"export": {"max_batch_size": 4, "update": "head"}})
    result = export(config, trained.with_name("all.pth"), tmp_path / "small")
    assert result.verification.gradients < 1e-4
    kinds = {type(transform) for transform in result.manifest.transforms}
    assert KeptChannels in kinds
    assert Observers not in kinds, "weights are float where they are trained"


class Interrupting(Reporter):
    """Asks to stop at a step of training, counted over the whole run."""

    def __init__(self, at: int) -> None:
        self.left = at

    @contextmanager
    def progress(self, description: str, total: int | None = None) -> Any:
        reporter = self

        class Bar:
            def advance(self, steps: int = 1, **fields: Any) -> None:
                if "loss" in fields:
                    reporter.left -= 1
                    if reporter.left == 0:
                        os.kill(os.getpid(), signal.SIGINT)

        yield Bar()


@pytest.mark.promise("A resumed run is bit for bit the run without interruption")
def test_an_interrupted_run_goes_on(trained: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"prune": "2:4", "prune_schedule": "gradual", "prune_epochs": 2}
    whole = optimize(command(**settings), trained, tmp_path / "a.pth")
    with pytest.raises(InterruptedRun):
        optimize(command(**settings), trained, tmp_path / "b.pth", reporter=Interrupting(5))
    assert not (tmp_path / "b.pth").exists()
    with pytest.raises(UsageError, match="can't be resumed with another checkpoint or other settings"):
        optimize(command(**{**settings, "prune_epochs": 3}), trained, tmp_path / "b.pth", resume=True)
    resumed = optimize(command(**settings), trained, tmp_path / "b.pth", resume=True)
    assert whole.checkpoint is not None
    assert resumed.checkpoint is not None
    expected, found = load_checkpoint(whole.checkpoint), load_checkpoint(resumed.checkpoint)
    assert found.transforms == expected.transforms
    assert all(torch.equal(found.state[name], tensor) for name, tensor in expected.state.items())
    pruned = [transform.module for transform in found.transforms if isinstance(transform, KeptZeros)]
    assert pruned
    for name in pruned:
        rows = found.state[f"{name}.weight"].flatten(1)
        whole_groups = rows[:, : rows.shape[1] // 4 * 4].reshape(len(rows), -1, 4)
        assert ((whole_groups == 0).sum(-1) >= 2).all()
    again = optimize(command(**settings), trained, tmp_path / "b.pth", resume=True)
    reports = [result.report.model_dump(mode="json") for result in (again, resumed)]
    assert reports[0] == reports[1], "nothing was left to do"


def test_training_with_the_rounding(trained: Path, tmp_path: Path) -> None:
    config = TrainCommand.model_validate({"data": DATA, "train": {**TRAINING, "epochs": 1, "qat": True}})
    start = start_with_rounding(config, load_checkpoint(trained), trained, SILENT)
    hook: StepHook = QatSchedule()
    result = load_checkpoint(train(config, tmp_path / "q.pth", start=start, hook=hook).checkpoint)
    assert isinstance(result.transforms[-1], Observers)
    again = start_with_rounding(config, result, tmp_path / "q.pth", SILENT)
    assert again == result, "it goes on as it is"
    written = optimize(command(quantize="qat"), tmp_path / "q.pth", tmp_path / "q.pte")
    assert written.program == tmp_path / "q.pte"
    before, after = written.report.steps
    assert abs(after.figures["accuracy"] - before.figures["accuracy"]) < 0.03  # type: ignore[operator]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing is asked for"),
        ({"prune": "channel", "prune_ratio": 0.3, "prune_skip": ["nothing.*"]}, "nothing"),
        ({"quantize": "int8", "quantize_skip": ["nothing.*"]}, "nothing"),
        ({"surgery": "lite", "quantize": "int8", "quantize_skip": ["nothing.*"]}, "nothing"),
        ({"surgery": "lite", "prune": "2:4", "prune_skip": ["nothing.*"]}, "nothing"),
    ],
)
def test_mistakes_are_told_before_any_work(
    trained: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        optimize(command(**settings), trained, tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


def test_a_mistake_spares_the_steps_of_a_run(
    trained: Path, all_of_it: OptimizeResult, tmp_path: Path
) -> None:
    steps = {path: path.read_bytes() for path in trained.with_name("all.steps").iterdir()}
    with pytest.raises(UsageError):
        optimize(command(**{**RECIPE, "prune_skip": ["nothing.*"]}), trained, trained.with_name("all.pth"))
    assert {path: path.read_bytes() for path in trained.with_name("all.steps").iterdir()} == steps


def test_quantized_models_are_not_optimized_again(
    trained: Path, all_of_it: OptimizeResult, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is quantized already"):
        optimize(command(prune="2:4"), trained.with_name("all.pth"), tmp_path / "x.pth")


def test_programs_are_int8(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would be an int8 program"):
        optimize(command(prune="2:4"), trained, tmp_path / "x.pte")
    result = optimize(command(quantize="int8"), trained, tmp_path / "x.pte")
    assert (result.checkpoint, result.program) == (None, tmp_path / "x.pte")
    before, after = result.report.steps
    assert abs(after.figures["accuracy"] - before.figures["accuracy"]) < 0.05  # type: ignore[operator]
    assert result.report.details["quantization"]["sqnr_db"]["output"] > 20


def test_figures_of_a_checkpoint_are_its_own(trained: Path, tmp_path: Path) -> None:
    result = optimize(command(quantize="int8"), trained, tmp_path / "x.pth")
    assert result.program == tmp_path / "x.int8.pte"
    before, after = result.report.steps
    assert load_checkpoint(tmp_path / "x.pth").metrics["val_loss"] == before.figures["loss"]
    assert after.figures["loss"] != before.figures["loss"]


def test_calibration_samples_have_to_fit(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        optimize(command(quantize="int8", calibration=tmp_path / "no.npz"), trained, tmp_path / "x.pth")
    other = {"inputs": np.zeros((4, 1, 9, 9), np.float32), "targets": np.zeros(4, np.int64)}
    np.savez(tmp_path / "other.npz", **other)
    with pytest.raises(UsageError, match="doesn't fit the model"):
        optimize(command(quantize="int8", calibration=tmp_path / "other.npz"), trained, tmp_path / "x.pth")


def test_calibration_needs_inputs_only(trained: Path, tmp_path: Path) -> None:
    source = load_checkpoint(trained)
    stored = load_dataset(DataConfig(**DATA), program=source.inputs).train.inputs(range(40))["inputs"]
    np.savez(tmp_path / "inputs.npz", inputs=stored.numpy())
    found = read_calibration(tmp_path / "inputs.npz", source, make_task(source.task), most=32)
    assert found.inputs["inputs"].shape == (32, 1, 8, 8)
    assert torch.equal(found.inputs["inputs"], source.inputs["inputs"].preprocessing.apply(stored[:32]))
    with pytest.raises(InputError, match="lacks 'targets'"):
        read_calibration(tmp_path / "inputs.npz", source, make_task(source.task), 32, with_targets=True)


def test_without_data(trained: Path, tmp_path: Path) -> None:
    result = optimize(command(surgery="no-retrain"), trained, tmp_path / "x.pth", with_data=False)
    assert [step.figures for step in result.report.steps] == [{}, {}]
    with pytest.raises(UsageError, match="need data; name it with --data"):
        optimize(command(quantize="int8"), trained, tmp_path / "y.pth", with_data=False)
