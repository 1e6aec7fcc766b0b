"""Two gloo processes are one process with twice the batch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.history import load_history
from edgetrain.config.stages import TrainCommand
from edgetrain.training import train
from edgetrain.training.distributed import World

SCRIPT = """
import json, os, sys
from pathlib import Path
import torch
from edgetrain.config.stages import TrainCommand
from edgetrain.errors import EdgetrainError
from edgetrain.training import train
config = TrainCommand.model_validate_json(sys.argv[1])
if len(sys.argv) > 3:
    exec(sys.argv[3])
try:
    train(config, Path(sys.argv[2]))
    text = "done"
except EdgetrainError as error:
    text = f"{type(error).__name__}: {error}"
Path(f"{sys.argv[2]}.rank{os.environ['RANK']}").write_text(text)
"""

NAN_IN_ONE = """
from edgetrain.training.learner import Learner, StepOutcome
original = Learner.compute_gradients
def broken(self, batch):
    outcome = original(self, batch)
    return StepOutcome(float("nan"), outcome.sums, outcome.samples, 1.0)
if os.environ["RANK"] == "1":
    Learner.compute_gradients = broken
"""

# Rank 1 looks for what rank 0 leaves behind, as for a downloaded archive.
FETCH = """
import time
from edgetrain.training import stage
def load(config, reporter, original=stage.load_dataset, **more):
    mark = Path(sys.argv[2]).with_suffix(".fetched")
    if os.environ["RANK"] == "0":
        time.sleep(1)
        mark.touch()
    elif not mark.exists():
        raise EdgetrainError("rank 1 came too early")
    return original(config, reporter, **more)
stage.load_dataset = load
"""

BROKEN_DATA = """
from edgetrain.errors import InputError
from edgetrain.training import stage
def load(config, reporter, **more):
    raise InputError("no data")
if os.environ["RANK"] == WHICH:
    stage.load_dataset = load
"""

SIGTERM_IN_ONE = """
import signal
from edgetrain.training.learner import Learner
original = Learner.update
def interrupted(self, lr):
    original(self, lr)
    Learner.update = original
    os.kill(os.getpid(), signal.SIGTERM)
if os.environ["RANK"] == "1":
    Learner.update = interrupted
"""


def config(batch_size: int, **train_settings: object) -> TrainCommand:
    """For two processes the last of 67 training samples are 2 and 1, the last of 21 test samples are 1 and a
    dummy that must not count."""
    return TrainCommand.model_validate(
        {
            "data": {
                "name": "synthetic",
                "args": {"shape": [6], "classes": 3, "samples": 67, "test_samples": 21},
            },
            "model": {"name": "mlp", "args": {"hidden": [16]}},
            "optimizer": {"lr": 0.05, "momentum": 0.9},
            "train": {
                "epochs": 3,
                "batch_size": batch_size,
                "eval_batch_size": 10,
                "threads": 1,
                "device": "cpu",
                **train_settings,
            },
        }
    )


def torchrun(folder: Path, command: TrainCommand, *extra: str) -> list[str]:
    """Runs two processes; returns what each wrote at its end."""
    script, output = folder / "worker.py", folder / "two.pth"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"),
            *(str(script), command.model_dump_json(), str(output), *extra),
        ],
        check=False,
        timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [(folder / f"two.pth.rank{rank}").read_text() for rank in range(2)]


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batch(tmp_path: Path) -> None:
    assert torchrun(tmp_path, config(8)) == ["done", "done"]
    one = train(config(16), tmp_path / "one.pth")
    two = load_history(tmp_path / "two.history.json")
    assert two.device == "2 x cpu"
    for left, right in zip(one.history.epochs, two.epochs, strict=True):
        assert right.train_loss == pytest.approx(left.train_loss, rel=1e-6)
        assert right.val_loss == pytest.approx(left.val_loss, rel=1e-6)
        for part in ("train", "val"):
            assert right.figure(part, "accuracy") == left.figure(part, "accuracy")
        assert right.steps == left.steps
    states = [load_checkpoint(tmp_path / f"{name}.last.pth").state for name in ("one", "two")]
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_ignored_tokens_are_weighted_exactly(tmp_path: Path) -> None:
    """The loss is a mean over the tokens that count, of which every process and batch has another number."""
    random = np.random.default_rng(0)
    ids = random.integers(0, 9, (67, 5))
    tags = np.where(random.random((67, 5)) < random.random((67, 1)), -100, ids % 3)
    np.savez(tmp_path / "data.npz", ids=ids, tags=tags)
    plain = {
        "data": {"name": "arrays", "root": tmp_path / "data.npz", "inputs": ["ids"], "targets": ["tags"]},
        "model": {"name": "text_transformer", "args": {"vocabulary": 9, "tied": False, "width": 8}},
        "optimizer": {"clip_norm": 0.5},
    }

    def command(batch_size: int) -> TrainCommand:
        return TrainCommand.model_validate({**config(batch_size).model_dump(mode="json"), **plain})

    assert torchrun(tmp_path, command(8)) == ["done", "done"]
    one = train(command(16), tmp_path / "one.pth")
    two = load_history(tmp_path / "two.history.json")
    for left, right in zip(one.history.epochs, two.epochs, strict=True):
        for part in ("train", "val"):
            assert right.figures(part) == pytest.approx(left.figures(part), rel=1e-5)
    states = [load_checkpoint(tmp_path / f"{name}.last.pth").state for name in ("one", "two")]
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.promise("NaN and what explodes end a run, and the last good weights stay")
def test_processes_agree_on_nan_and_on_interruption(tmp_path: Path) -> None:
    outcomes = torchrun(tmp_path, config(8), NAN_IN_ONE)
    assert all(outcome.startswith("CheckFailedError") for outcome in outcomes)
    assert not (tmp_path / "two.last.pth").exists()

    outcomes = torchrun(tmp_path, config(8), SIGTERM_IN_ONE)
    assert outcomes == ["InterruptedRun: stopped at epoch 1, step 2; continue with --resume"] * 2
    training = load_checkpoint(tmp_path / "two.last.pth").training
    assert training is not None
    assert len(training["random"]) == 2
    assert training["state"]["meter"]["samples"] == 32


@pytest.mark.slow
def test_data_is_read_by_one_process_first(tmp_path: Path) -> None:
    assert torchrun(tmp_path, config(8, max_steps=1), FETCH) == ["done", "done"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_no_process_waits_for_one_that_failed(tmp_path: Path, rank: int) -> None:
    outcomes = torchrun(tmp_path, config(8), BROKEN_DATA.replace("WHICH", repr(str(rank))))
    assert outcomes.pop(rank) == "InputError: no data"
    assert outcomes == [f"OtherProcessError: process {rank} failed; its message says why"]
    assert not (tmp_path / "two.pth").exists()


def test_lone_process_is_a_world() -> None:
    world = World()
    assert world.main_first(lambda: 3) == 3
    assert world.is_main
    assert world.sum([1.5, 2.0]) == [1.5, 2.0]
    assert world.any([True, False]) == [True, False]
    assert world.gather("x") == ["x"]
    assert world.share(torch.tensor(0.0)).item() == 1
    model = torch.nn.Linear(1, 1)
    assert world.wrap(model) is model
