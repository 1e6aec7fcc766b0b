"""kill -9 at any moment of a stage that writes: the old files or the new ones, whole, and no children."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.commit import recover
from edgetrain.artifacts.history import load_history
from edgetrain.artifacts.packed import load_description_of
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import load_run
from edgetrain.runner import find_runner

DATA = ["--data", "digits", "--images-per-class", "20", "--test-images-per-class", "5"]


def _train(folder: Path) -> list[str]:
    settings = ["--epochs", "3", "--save-every", "2", "--batch-size", "16", "--device", "cpu", "--seed"]
    return [
        "train",
        "--model",
        "mlp",
        *DATA,
        *settings,
        str(random.randrange(9)),
        "-o",
        str(folder / "m.pth"),
    ]


def _export(folder: Path) -> list[str]:
    weights = random.choice(["inline", "external"])
    return ["export", str(folder / "model.pth"), "--weights", weights, "-o", str(folder / "m")]


def _pack(folder: Path) -> list[str]:
    return ["pack", *DATA, "--split", random.choice(["train", "test"]), "-o", str(folder / "m.ptd")]


def _finetune(runtime: str) -> Callable[[Path], list[str]]:
    def command(folder: Path) -> list[str]:
        settings = [
            "--epochs",
            "2",
            "--save-every",
            "1",
            "--runtime",
            runtime,
            "--seed",
            str(random.randrange(9)),
        ]
        return ["finetune", str(folder / "model.pte"), *DATA, *settings, "-o", str(folder / "m.ptd")]

    return command


def _check_trained(folder: Path) -> None:
    load_checkpoint(folder / "m.last.pth")
    if (folder / "m.pth").exists():  # it is written after the state
        load_checkpoint(folder / "m.pth")


def _check_exported(folder: Path) -> None:
    load_program(folder / "m.pte").tensors()


def _check_packed(folder: Path) -> None:
    assert load_description_of(folder / "m.ptd") is not None


def _check_tuned(folder: Path) -> None:
    """Weights, state and history are of one moment of one run, though nobody has resumed it."""
    weights, state, history = (folder / f"m.{end}" for end in ("ptd", "state.ptd", "history.json"))
    tensors, saved, told = (
        load_program(folder / "model.pte", weights).tensors(),
        load_run(state),
        load_history(history),
    )
    for name, tensor in saved.weights.items():
        assert bool((tensors[name] == tensor).all()), f"weights and state differ in {name}"
    assert told.epochs == saved.record.epochs
    assert told.runtime == saved.record.runtime
    assert told.seed == saved.record.config["finetune"]["seed"]


TUNED = {"m.ptd", "m.state.ptd", "m.history.json"}
# The command, what holds of its files, those that appear together and stay, and how long a run lasts [s].
STAGES: dict[str, tuple[Callable[[Path], list[str]], Callable[[Path], None], set[str], float]] = {
    "train": (_train, _check_trained, {"m.last.pth"}, 5.0),
    "export": (_export, _check_exported, {"m.pte", "m.json"}, 8.0),
    "pack": (_pack, _check_packed, {"m.ptd", "m.json"}, 2.5),
    "finetune": (_finetune("executorch"), _check_tuned, TUNED, 6.0),
    "finetune in torch": (_finetune("torch"), _check_tuned, TUNED, 6.0),
    "finetune natively": (_finetune("native"), _check_tuned, TUNED, 4.0),
}


def _kill_often(folder: Path, made: Any, stage: str, kills: int) -> None:
    if "natively" in stage and find_runner() is None:
        pytest.skip("needs the native runner")
    make, check, together, longest = STAGES[stage]
    made.copy_to(folder)
    random.seed(stage)
    kept: set[str] = set()
    killed = 0
    for number in range(kills):
        environment = {**os.environ, "EDGETRAIN_TEST_RUN": f"{os.getpid()}-{number}", "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "edgetrain", *make(folder), "--force"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
        )
        _wait(process, folder, longest)
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGKILL), said.decode()
        killed += process.returncode != 0
        deadline = time.monotonic() + 5
        while _alive_of(number) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _alive_of(number), "a child lives on"
        recover(folder / "m")
        there = {path.name for path in folder.glob("m.*")}
        assert kept <= there, "what was there is gone"
        assert not together & there or together <= there, "one without the other"
        kept = there & {*together, "m.pth"}
        if kept:
            check(folder)
    assert killed >= kills // 4
    done = subprocess.run(
        [sys.executable, "-m", "edgetrain", *make(folder), "--force"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    check(folder)
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def _wait(process: subprocess.Popen[bytes], folder: Path, longest: float) -> None:
    """Until some moment of a run; half of them are soon after it has first written something."""
    if random.random() < 0.5:
        time.sleep(random.uniform(0.5, longest))
        return
    before = _written(folder)
    while process.poll() is None and _written(folder) == before:
        time.sleep(0.005)
    time.sleep(random.uniform(0, 0.3))


def _written(folder: Path) -> dict[str, int]:
    found = {}
    for path in folder.glob("m.*"):
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.stat().st_mtime_ns
    return found


def _alive_of(number: int) -> list[int]:
    mark = f"EDGETRAIN_TEST_RUN={os.getpid()}-{number}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for children in /proc"),
    pytest.mark.slow,
]
PROMISE = "kill -9 leaves the old files or the new ones, no child, and nothing that the next run keeps"


@pytest.mark.promise(PROMISE, cases=2)
@pytest.mark.parametrize("stage", STAGES)
def test_kill_9(digits_program: Any, tmp_path: Path, stage: str) -> None:
    _kill_often(tmp_path, digits_program, stage, 2)


@pytest.mark.thorough
@pytest.mark.promise(PROMISE, cases=100)
@pytest.mark.parametrize("stage", STAGES)
def test_kill_9_often(digits_program: Any, tmp_path: Path, stage: str) -> None:
    _kill_often(tmp_path, digits_program, stage, 100)
