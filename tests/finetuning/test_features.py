"""Features that are kept give the runs that computing them each time gives."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.history import load_history
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS
from edgetrain.config.data import DataConfig
from edgetrain.config.stages import ExportCommand, FinetuneCommand
from edgetrain.data import load_dataset
from edgetrain.errors import InterruptedRun
from edgetrain.export import export
from edgetrain.finetuning.features import FeatureSplit, feature_bytes
from edgetrain.finetuning.stage import finetune_here as finetune
from edgetrain.runner import find_runner
from edgetrain.runtimes import open_session
from edgetrain.runtimes.base import GraphSession

DATA = {"name": "digits", "images_per_class": 10, "test_images_per_class": 5}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, digits_program: Any) -> Path:
    """digits_cnn with its convolutions on XNNPACK."""
    folder = tmp_path_factory.mktemp("backbone")
    made = digits_program.copy_to(folder)
    command = {"export": {"backbone": "xnnpack", "trainable": ["classifier.*"], "max_batch_size": 16}}
    return export(ExportCommand.model_validate(command), made.checkpoint, folder / "head").program


def command(**settings: Any) -> FinetuneCommand:
    augment = settings.pop("augment", False)
    base = {"epochs": 2, "batch_size": 16, "threads": 1}
    return FinetuneCommand.model_validate({"data": {**DATA, "augment": augment}, "finetune": base | settings})


def losses(output: Path) -> list[float]:
    return [record.train_loss or 0.0 for record in load_history(output.with_suffix(".history.json")).epochs]


def test_split_computes_each_sample_once(program: Path) -> None:
    session = open_session("executorch", load_program(program))
    assert isinstance(session, GraphSession)
    dataset = load_dataset(DataConfig.model_validate(DATA), program=session.manifest.inputs)
    split = FeatureSplit(dataset.train, session.manifest.preprocessing, session)
    assert len(split) == len(dataset.train) == 100
    calls: list[int] = []
    compute = session.features

    def counted(inputs: Any) -> Any:
        calls.append(len(inputs[INPUTS]))
        return compute(inputs)

    session.features = counted  # type: ignore[method-assign]
    rows = torch.randperm(100)[:40]
    found = split.inputs(rows)
    assert calls == [16, 16, 8]
    assert torch.equal(split.inputs(rows.flip(0))["features"], found["features"].flip(0))
    assert calls == [16, 16, 8]
    stored = dataset.train.inputs(rows[:16])
    exact = compute({INPUTS: session.manifest.preprocessing[INPUTS].apply(stored[INPUTS])})
    torch.testing.assert_close(found["features"][:16], exact["features"])
    for name, targets in split.targets(rows).items():
        assert torch.equal(targets, dataset.train.targets(rows)[name])
    assert split.labels is not None
    assert feature_bytes(session.contract, 100) == 100 * found["features"][0].numel() * 4


def test_programs_without_a_backbone_have_no_features(digits_program: Any) -> None:
    assert feature_bytes(load_program(digits_program.program).manifest.contract, 100) == 0


def test_runs_are_the_same_with_and_without(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune(command(runtime="executorch"), program, tmp_path / "kept.ptd")
    finetune(command(runtime="torch"), program, tmp_path / "torch.ptd")
    monkeypatch.setattr("edgetrain.finetuning.in_process.FeatureSplit", None)
    finetune(command(runtime="executorch", keep_features=0), program, tmp_path / "each.ptd")
    assert losses(tmp_path / "kept.ptd") == pytest.approx(losses(tmp_path / "each.ptd"), rel=1e-6)
    assert losses(tmp_path / "kept.ptd") == pytest.approx(losses(tmp_path / "torch.ptd"), rel=1e-5)


@pytest.mark.skipif(find_runner() is None, reason="the runner is not installed")
def test_runner_trains_as_python_does(program: Path, tmp_path: Path) -> None:
    for augment in (False, True):
        for runtime in ("native", "torch"):
            settings = command(runtime=runtime, augment=augment, shuffle=False)
            finetune(settings, program, tmp_path / f"{runtime}-{augment}.ptd")
    assert losses(tmp_path / "native-False.ptd") == pytest.approx(
        losses(tmp_path / "torch-False.ptd"), rel=1e-5
    )


@pytest.mark.promise("A resumed run is bit for bit the run without interruption")
def test_resumed_runs_are_exact(program: Path, tmp_path: Path, listener: Any) -> None:
    whole, parts = tmp_path / "whole.ptd", tmp_path / "parts.ptd"
    finetune(command(runtime="executorch"), program, whole)

    def stop(step: int) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRun):
        finetune(command(runtime="executorch"), program, parts, reporter=listener(stop))
    finetune(command(runtime="executorch"), program, parts, resume=True)
    assert whole.read_bytes() == parts.read_bytes()


def test_tuned_head_goes_back_into_the_checkpoint(program: Path, tmp_path: Path) -> None:
    settings = command(runtime="executorch", epochs=1)
    finetune(settings, program, tmp_path / "tuned.ptd", to_pth=tmp_path / "tuned.pth")
    before = load_checkpoint(program.with_name("model.pth")).state
    after = load_checkpoint(tmp_path / "tuned.pth").state
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == name.startswith("features"), name
