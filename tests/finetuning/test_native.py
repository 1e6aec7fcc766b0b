"""Fine-tuning by the native runner is what the other runtimes do, with files and failures as theirs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.history import load_history
from edgetrain.artifacts.inspect import describe
from edgetrain.artifacts.program import load_program
from edgetrain.config.stages import FinetuneCommand
from edgetrain.errors import CheckFailedError, EdgetrainError, InputError, UsageError
from edgetrain.finetuning import output_files
from edgetrain.finetuning.stage import finetune_here as finetune
from edgetrain.runner import OVERRIDE, find_runner, runner_environment

pytestmark = pytest.mark.skipif(
    find_runner() is None, reason="needs the native runner, and so a C++ compiler"
)
DIGITS = {"name": "digits", "images_per_class": 10, "test_images_per_class": 5, "shift": ["rotate:90"]}


def _config(runtime: str = "native", **sections: Any) -> FinetuneCommand:
    """100 samples in batches of 15: 7 steps an epoch, the last of 10 samples."""
    settings = {
        "runtime": runtime,
        "epochs": 2,
        "batch_size": 15,
        "threads": 1,
        **sections.pop("finetune", {}),
    }
    base = {"data": DIGITS, "optimizer": {"lr": 0.05, "momentum": 0.9}, "finetune": settings}
    return FinetuneCommand.model_validate({**base, **sections})


OPTIMIZERS = {
    "sgd": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": True},
    # With eps of 1e-8 they would step by the sign of rounding errors where a gradient is zero but for these.
    "adam": {"name": "adam", "lr": 0.003, "beta1": 0.8, "eps": 1e-5},
    "adamw": {"name": "adamw", "lr": 0.003, "weight_decay": 0.01, "eps": 1e-5},
}


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_it_trains_as_executorch_does(
    digits_program: Any, tmp_path: Path, listener: Any, optimizer: str
) -> None:
    losses, results = {}, {}
    for runtime in ("executorch", "native"):
        heard = listener()
        config = _config(
            runtime,
            optimizer=OPTIMIZERS[optimizer],
            schedule={"name": "cosine", "warmup_steps": 3},
            data={**DIGITS, "flip": True, "crop_padding": 1},
            finetune={"epochs": 4, "max_steps": 20, "seed": 3},
        )
        output = tmp_path / runtime / "tuned.ptd"
        results[runtime] = finetune(config, digits_program.program, output, reporter=heard)
        losses[runtime] = heard.losses
    assert len(losses["native"]) == 20
    assert losses["native"] == pytest.approx(losses["executorch"], rel=1e-4)
    for found, expected in zip(
        results["native"].history.epochs, results["executorch"].history.epochs, strict=True
    ):
        assert (found.epoch, found.steps) == (expected.epoch, expected.steps)
        for field in ("train_loss", "val_loss", "val_accuracy", "train_accuracy", "learning_rate"):
            wanted = getattr(expected, field)
            assert getattr(found, field) == (pytest.approx(wanted, rel=1e-3) if wanted is not None else None)


def test_files_and_history(digits_program: Any, inline_program: Any, tmp_path: Path) -> None:
    for index, made in enumerate((digits_program, inline_program)):
        folder = tmp_path / str(index)
        output = folder / ("t.pte" if made is inline_program else "t.ptd")
        to_pth = folder / "t.pth"
        result = finetune(_config(), made.program, output, to_pth=to_pth)
        assert sorted(output_files(output, to_pth)) == sorted(folder.iterdir())
        history = load_history(folder / "t.history.json")
        assert history.epochs == result.history.epochs
        assert (history.runtime, history.threads, history.seed) == ("native", 1, 0)
        assert 1e6 < history.peak_rss_bytes < 60e6
        assert [r.epoch for r in history.epochs] == [0, 1, 2]
        assert result.before is not None
        assert result.after.loss < result.before.loss
        tuned = load_program(output) if made is inline_program else load_program(made.program, output)
        state = load_checkpoint(to_pth).state
        for name, tensor in tuned.tensors().items():
            assert torch.equal(state[name], tensor), name


def test_all_runtimes_write_the_same_history(digits_program: Any, tmp_path: Path) -> None:
    found = []
    for runtime in ("executorch", "torch", "native"):
        output = tmp_path / f"{runtime}.ptd"
        finetune(_config(runtime, finetune={"keep": "best"}), digits_program.program, output)
        found.append(json.loads(output.with_suffix(".history.json").read_text()))
    first = found[0]
    for other in found[1:]:
        assert list(other) == list(first)
        assert [set(epoch) for epoch in other["epochs"]] == [set(epoch) for epoch in first["epochs"]]
        for same in ("schema_version", "device", "threads", "seed", "best_epoch", "metrics", "source"):
            assert other[same] == first[same], same
        settings = {"runtime": "", "kernels": ""}
        configs = [
            {**c["config"], "finetune": {**c["config"]["finetune"], **settings}} for c in (first, other)
        ]
        assert configs[0] == configs[1]


def test_resuming_is_exact(digits_program: Any, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.ptd", tmp_path / "parts.ptd"
    data = {**DIGITS, "crop_padding": 1}
    at_once = finetune(_config(data=data, finetune={"max_steps": 10}), digits_program.program, whole)
    finetune(_config(data=data, finetune={"max_steps": 4}), digits_program.program, parts)
    # With `auto` a run goes on where it was saved.
    config = _config("auto", data=data, finetune={"max_steps": 10})
    resumed = finetune(config, digits_program.program, parts, resume=True)
    assert parts.read_bytes() == whole.read_bytes()

    def figures(result: Any) -> list[Any]:
        return [(r.epoch, r.steps, r.train_loss, r.val_loss) for r in result.history.epochs]

    assert figures(resumed) == figures(at_once)
    again = finetune(config, digits_program.program, parts, resume=True)
    assert figures(again) == figures(at_once)
    # The epochs before the interruption are in the state.
    (tmp_path / "parts.history.json").unlink()
    again = finetune(config, digits_program.program, parts, resume=True)
    assert figures(again) == figures(at_once)
    described = describe(tmp_path / "parts.state.ptd")
    assert (described["runtime"], described["optimizer"]) == ("native", "sgd")
    assert (described["step"], described["finished_epochs"], described["batches_since"]) == (10, 1, 3)
    assert {t["name"] for t in described["tensors"]} == set(load_program(digits_program.program).tensors())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(UsageError, match="--lr"):
        finetune(
            _config(data=data, optimizer={"lr": 0.1}, finetune={"max_steps": 12}),
            digits_program.program,
            parts,
            resume=True,
        )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_failures_are_those_of_the_other_runtimes(digits_program: Any, tmp_path: Path) -> None:
    output = tmp_path / "t.ptd"
    with pytest.raises(CheckFailedError, match="not finite"):
        finetune(_config(optimizer={"lr": 1e20}), digits_program.program, output)
    assert not output.exists()
    with pytest.raises(InputError, match="nothing to resume"):
        finetune(_config(), digits_program.program, output, resume=True)
    finetune(_config("torch", finetune={"max_steps": 1}), digits_program.program, output)
    with pytest.raises(
        UsageError, match=r"t\.state\.ptd was saved by torch; go on with --runtime torch, or start anew"
    ):
        finetune(_config(), digits_program.program, output, resume=True)
    resumed = finetune(
        _config("auto", finetune={"max_steps": 2}), digits_program.program, output, resume=True
    )
    assert resumed.history.runtime == "torch"
    with pytest.raises(UsageError, match="batches of up to 32"):
        finetune(_config(finetune={"batch_size": 64}), digits_program.program, output)


def test_regression(regression_program: Any, regression_data: Path, tmp_path: Path) -> None:
    data = {"name": "arrays", "root": str(regression_data)}
    results = [
        finetune(
            _config(runtime, data=data, optimizer={"name": "adam", "lr": 0.01}, finetune={"batch_size": 4}),
            regression_program.program,
            tmp_path / f"{runtime}.ptd",
        )
        for runtime in ("executorch", "native")
    ]
    assert list(results[1].after.figures) == ["loss"]
    assert results[1].after.loss == pytest.approx(results[0].after.loss, rel=1e-4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.promise("Ctrl-C and SIGTERM save what there is, or leave nothing behind")
def test_signals_reach_the_runner(digits_program: Any, tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "t.ptd"
    command = [sys.executable, "-m", "edgetrain", "finetune", str(digits_program.program), "-o", str(output)]
    command += ["--runtime", "native", "--data", "digits", "--epochs", "100000", "--batch-size", "4"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not output.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "go on with --resume" in said
    assert load_history(tmp_path / "t.history.json").epochs


@pytest.mark.promise("A program that crashes is an error, in a process of its own")
def test_a_runner_that_crashes_or_is_missing(
    digits_program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "runner"
    fake.write_text("#!/bin/sh\nkill -SEGV $$\n")
    fake.chmod(0o755)
    monkeypatch.setenv(OVERRIDE, str(fake))
    with pytest.raises(CheckFailedError, match="died of SIGSEGV while fine-tuning"):
        finetune(_config(), digits_program.program, tmp_path / "t.ptd")
    monkeypatch.setenv(OVERRIDE, str(tmp_path / "nothing"))
    with pytest.raises(EdgetrainError, match="no program that can be run"):
        finetune(_config(), digits_program.program, tmp_path / "t.ptd")
    assert not os.path.lexists(tmp_path / "t.ptd")


CONFIGS = Path(__file__).parents[2] / "configs"


def _edgetrain(*arguments: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgetrain", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "flags", "least"),
    [
        pytest.param(
            *("xor", ["--epochs", 150, "--batch-size", 4, "--lr", 0.5, "--eval-every", 25], 1.0),
            marks=pytest.mark.thorough,
        ),
        ("digits", ["--epochs", 10, "--batch-size", 16, "--lr", 0.02], 0.95),
    ],
)
def test_recipes_by_the_runner_alone(tmp_path: Path, recipe: str, flags: list[Any], least: float) -> None:
    """From one epoch of training on the server: the device learns the rest."""
    config = CONFIGS / f"{recipe}.yaml"
    _edgetrain("train", "--config", config, "--epochs", 1, "-o", tmp_path / "model.pth")
    _edgetrain("export", tmp_path / "model.pth", "--config", config)
    for split in ("train", "test"):
        _edgetrain("pack", "--config", config, "--split", split, "-o", tmp_path / f"{split}.ptd")
    runner = find_runner()
    assert runner is not None
    command = [runner, "train", "model.pte", "--data", "train.ptd", "--validation", "test.ptd", *flags]
    done = subprocess.run(
        [*map(str, command), "-o", "tuned.ptd"],
        cwd=tmp_path,
        env=runner_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["val_accuracy"] >= least
