"""What goes wrong from outside: one sentence on stderr, the right exit code, no stdout, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgetrain.cli.app import main

FAST = ["--set", "finetune.max_steps=1", "--images-per-class", "4"]
Refused = Callable[..., str]


def _content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Runs a command line in the folder and returns its one line on stderr."""
    monkeypatch.chdir(tmp_path)

    def run(code: int, *arguments: str | Path) -> str:
        before = _content(tmp_path)
        capfd.readouterr()
        assert main([str(a) for a in arguments]) == code, capfd.readouterr().err
        out, err = capfd.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        assert "internal error" not in err
        assert _content(tmp_path) == before
        return err

    return run


def test_configuration(digits: Any, refused: Refused, tmp_path: Path) -> None:
    assert "did you mean" in refused(2, "finetune", "model.pte", "--set", "finetune.epoch=3")
    (tmp_path / "c.yaml").write_text("finetune:\n  epocs: 3\n")
    assert "epocs" in refused(2, "finetune", "model.pte", "--config", "c.yaml")
    assert "lr" in refused(2, "finetune", "model.pte", "--lr", "-1")
    assert "up to 32, not 33" in refused(2, "finetune", "model.pte", "--batch-size", "33", *FAST)
    assert "up to 32, not 64" in refused(
        2, "bench", "model.pte", "-o", "b.json", "--set", "bench.batch_sizes=[64]"
    )


def test_pipes(refused: Refused, tmp_path: Path) -> None:
    """Nobody writes into them."""
    os.mkfifo(tmp_path / "pipe.pte")
    for arguments in (["inspect", "pipe.pte"], ["finetune", "pipe.pte"], ["pack", "-o", "pipe.pte"]):
        assert "pipe.pte" in refused(3, *arguments)


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_data_that_does_not_fit(digits: Any, refused: Refused, tmp_path: Path) -> None:
    run = ("finetune", "model.pte", "--data", "arrays", "--data-dir", "d.npz")
    np.savez(tmp_path / "d.npz", inputs=np.zeros((40, 1, 9, 9), "f4"), targets=np.arange(40) % 10)
    assert "the model takes 1x8x8" in refused(3, *run)
    np.savez(tmp_path / "d.npz", inputs=np.zeros((40, 1, 8, 8), "f4"), targets=np.arange(40) % 11)
    assert "the model has 10 classes (labels 0 to 9)" in refused(3, *run)
    np.savez(tmp_path / "d.npz", inputs=np.zeros((40, 1, 8, 8), "f4"), targets=np.arange(40) - 1)
    assert "labels count from 0" in refused(3, *run)
    np.savez(tmp_path / "d.npz", inputs=np.full((40, 1, 8, 8), np.nan, "f4"), targets=np.arange(40) % 10)
    assert "not a finite" in refused(3, *run)
    assert "does not exist" in refused(3, *run[:-1], "nowhere.npz")
    np.savez(tmp_path / "d.npz", image=np.zeros((40, 1, 8, 8), "f4"), label=np.arange(40) % 10)
    assert "choose with --inputs and --targets" in refused(3, *run)
    named = ("--inputs", "image", "--targets", "label")
    assert "the model takes the inputs inputs, the data has image" in refused(3, *run, *named)


def test_tasks_that_do_not_fit(refused: Refused, tmp_path: Path) -> None:
    run = ("train", "--data", "arrays", "--data-dir", "d.npz", "--model", "mlp")
    np.savez(tmp_path / "d.npz", inputs=np.zeros((40, 6), "f4"), targets=np.arange(80).reshape(40, 2) % 3)
    assert "is needed for the task token-classification" in refused(2, *run)
    assert "cross_entropy needs one label per sample" in refused(3, *run, "--task", "classification")
    assert "mse needs float32 targets" in refused(3, *run, "--task", "regression")
    assert "no labels to ignore" in refused(2, *run, "--task", "regression", "--ignore-index", "1")
    assert "can't import 'nowhere' for the loss" in refused(2, *run, "--loss", "nowhere:loss")
    np.savez(
        tmp_path / "d.npz", x=np.zeros((40, 6), "f4"), y=np.zeros((40, 1), "f4"), z=np.zeros((40, 1), "f4")
    )
    several = ("--inputs", "x", "--targets", "y,z", "--loss", "mse")
    assert "the data has y, z; choose one with --targets" in refused(2, *run, *several)
    assert "mlp takes one input, the data's samples have x, z" in refused(
        2, *run, "--inputs", "x,z", "--targets", "y", "--loss", "mse"
    )


def test_code_that_a_checkpoint_names(
    refused: Refused, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "d.npz", inputs=np.zeros((40, 6), "f4"), targets=np.zeros((40, 1), "f4"))
    data = ("--data", "arrays", "--data-dir", "d.npz", "--model", "mlp", "--loss", "torch.nn:HuberLoss")
    assert main(["train", *data, "--epochs", "1", "-q"]) == 0
    assert "names torch.nn:HuberLoss as the code of its loss; if you trust it" in refused(
        3, "export", "model.pth"
    )


def test_damaged_and_foreign_files(
    digits: Any, regression_program: Any, refused: Refused, tmp_path: Path
) -> None:
    other = tmp_path / "other.ptd"
    other.write_bytes(regression_program.weights.read_bytes())
    run = ("finetune", "model.pte", *FAST)
    assert "belongs to another program than model.pte" in refused(3, *run, "--weights", other)
    weights = digits.weights.read_bytes()
    other.write_bytes(weights[: len(weights) // 2])
    assert "damaged or cut short" in refused(3, *run, "--weights", other)
    other.write_bytes(weights[:-1] + bytes([weights[-1] ^ 4]))
    assert "does not match its digest" in refused(3, *run, "--weights", other)
    assert "damaged" in refused(3, "inspect", other)
    assert "missing.ptd does not exist" in refused(3, *run, "--weights", "missing.ptd")
    digits.weights.write_bytes(weights[:-8])
    assert f"its manifest says {len(weights)}" in refused(3, *run)
    digits.weights.write_bytes(weights)
    program = digits.program.read_bytes()
    digits.program.write_bytes(program[:1000])
    for command in ("finetune", "bench", "inspect"):
        assert "has 1000 bytes, its manifest says" in refused(3, command, "model.pte")
    digits.program.write_bytes(program)
    checkpoint = digits.checkpoint.read_bytes()
    digits.checkpoint.write_bytes(checkpoint[:5000])
    assert "damaged" in refused(3, "export", "model.pth", "-o", "x")
    digits.manifest.unlink()
    assert "has no manifest model.json beside it" in refused(3, *run)
    assert "does not exist" in refused(3, "finetune", "nothing.pte")


def test_files_of_another_kind(digits: Any, refused: Refused, tmp_path: Path) -> None:
    from PIL import Image

    from edgetrain.artifacts.history import History, save_history

    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    np.savez(tmp_path / "data.npz", x=np.ones(3))
    save_history(tmp_path / "h.json", History(runtime="torch", device="cpu", threads=1, seed=0))
    (tmp_path / "folder").mkdir()
    (tmp_path / "odd.bin").write_bytes(b"odd")
    kinds = {
        "model.pth": "is a checkpoint",
        "model.pte": "is a program",
        "model.ptd": "is a file of weights",
        "model.json": "is a manifest",
        "h.json": "is a history",
        "image.png": "is an image (PNG)",
        "data.npz": "is a file of NumPy arrays (.npz)",
        "odd.bin": "is no {wanted}, or a damaged one",
        "folder": "is a folder",
        "missing": "does not exist",
    }
    for command, wanted in (
        ("export", "a checkpoint (.pth) from 'edgetrain train'"),
        ("finetune", "a program (.pte) from 'edgetrain export'"),
        ("bench", "a program (.pte) from 'edgetrain export'"),
        ("compare", "a history (.history.json) from 'edgetrain train' or 'edgetrain finetune'"),
    ):
        noun = wanted.split()[1]
        for name, found in kinds.items():
            if found != f"is a {noun}":
                problem = found.format(wanted=noun)
                message = refused(3, command, name)
                assert message.startswith(f"error: {name} {problem}; {command} takes {wanted}")
    for command in ("finetune", "bench"):
        message = refused(3, command, "model.pte", "--weights", "model.pth")
        assert f"model.pth is a checkpoint; {command} --weights takes a file of weights (.ptd)" in message


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_a_corrupt_image(digits: Any, refused: Refused, tmp_path: Path) -> None:
    from PIL import Image

    for name in map(str, range(10)):
        for split in ("train", "test"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for index in range(3):
                Image.new("L", (8, 8), int(name) * 20).save(folder / f"{index}.png")
    broken = tmp_path / "images" / "train" / "3" / "1.png"
    broken.write_bytes(broken.read_bytes()[:40])
    data = ("--data", "image-folder", "--data-dir", "images", "--channels", "1")
    message = refused(3, "finetune", "model.pte", *data, "--set", "finetune.max_steps=1")
    assert os.path.join("3", "1.png") in message  # noqa: PTH118


@pytest.mark.promise("Where nothing can be written, a command says so before it works")
def test_places_to_write(digits: Any, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run = ("finetune", "model.pte", *FAST)
    assert "can't write" in refused(1, *run, "-o", "file/tuned.ptd")
    assert "can't write" in refused(1, "bench", "model.pte", "-o", "file/b.json")
    for output in ("model.ptd", "./model.ptd", tmp_path / "model.ptd"):
        assert "is also read" in refused(2, *run, "-o", output, "--force")
    (tmp_path / "link.ptd").symlink_to("model.ptd")
    assert "is also read" in refused(2, *run, "-o", "link.ptd")
    assert "does not end in .pth" in refused(2, *run, "-o", "t.ptd", "--to-pth", "model.json")
    (tmp_path / "model.tuned.ptd").write_bytes(b"precious")
    assert "exists already; replace it with --force" in refused(2, *run)
    assert "name an output that ends in .ptd" in refused(2, *run, "-o", "t.pte")
    assert "nothing to resume" in refused(3, *run, "-o", "t.ptd", "--resume")


def _spawn(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edgetrain", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.promise("A program that crashes is an error, in a process of its own")
def test_in_a_process_of_its_own(digits: Any, tmp_path: Path) -> None:
    digits.weights.write_bytes(digits.weights.read_bytes()[:-1])
    before = _content(tmp_path)
    process = _spawn(tmp_path, "finetune", "model.pte", "--json")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (3, "")
    assert err.startswith("error: model.ptd has ")
    assert err.count("\n") == 1
    assert _content(tmp_path) == before


@pytest.mark.promise("NaN and what explodes end a run, and the last good weights stay")
def test_a_run_that_explodes(digits: Any, tmp_path: Path) -> None:
    before = _content(tmp_path)
    process = _spawn(tmp_path, "finetune", "model.pte", *FAST, "--lr", "1e38", "-q")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (4, "")
    assert err.startswith("error: the weights or their validation loss are not finite")
    assert err.count("\n") == 1
    assert _content(tmp_path) == before


@pytest.mark.slow
@pytest.mark.promise("Ctrl-C and SIGTERM save what there is, or leave nothing behind")
def test_ctrl_c_and_resume(digits: Any, tmp_path: Path) -> None:
    """The interrupted and resumed run ends with the bytes of one that was left alone."""
    run = ("finetune", "model.pte", "--set", "finetune.batch_size=4", "--set", "finetune.threads=1")
    process = _spawn(tmp_path, *run, "--set", "finetune.epochs=100000", "-o", "t.ptd")
    history = tmp_path / "t.history.json"
    deadline = time.monotonic() + 60
    while not history.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    assert "go on with --resume" in err.strip().splitlines()[-1]
    assert "Traceback" not in err
    before = _content(tmp_path)
    assert not [name for name in before if name.endswith("-tmp")]
    forgotten = _spawn(tmp_path, *run, "--set", "finetune.epochs=1", "-o", "t.ptd")
    _, err = forgotten.communicate(timeout=60)
    assert forgotten.returncode == 2
    assert "is of a run that was interrupted after" in err
    assert _content(tmp_path) == before
    from edgetrain.artifacts.history import load_history

    epochs = str(load_history(history).epochs[-1].epoch + 2)
    assert main(["finetune", str(digits.program), *run[2:], "--set", f"finetune.epochs={epochs}", "-q",
                 "-o", str(tmp_path / "t.ptd"), "--resume"]) == 0  # fmt: skip
    assert main(["finetune", str(digits.program), *run[2:], "--set", f"finetune.epochs={epochs}", "-q",
                 "-o", str(tmp_path / "whole.ptd")]) == 0  # fmt: skip
    assert (tmp_path / "t.ptd").read_bytes() == (tmp_path / "whole.ptd").read_bytes()
    again = _spawn(tmp_path, *run, "--set", "finetune.epochs=1", "-o", "t.ptd")
    _, err = again.communicate(timeout=60)
    assert again.returncode == 0, "what has ended is replaced"


@pytest.mark.slow
@pytest.mark.parametrize(("command", "number"), [("export", signal.SIGTERM), ("convert", signal.SIGINT)])
@pytest.mark.promise("Ctrl-C and SIGTERM save what there is, or leave nothing behind")
def test_an_interrupted_command_leaves_nothing(
    digits: Any, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    before = {p.name for p in tmp_path.iterdir()}
    further = ["--to", "train"] if command == "convert" else []
    for _ in range(3):
        process = _spawn(tmp_path, command, digits.checkpoint.name, *further, "-o", "out.pte")
        deadline = time.monotonic() + 60
        # `convert` works in a child, and has a folder beside the output at the very end alone.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while time.monotonic() < deadline:
            begun = (
                children.read_text() if command == "convert" else any(map(Path.is_dir, tmp_path.iterdir()))
            )
            if begun:
                break
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        if process.returncode != 0:
            break
        for path in tmp_path.glob("out.*"):  # it had ended before the signal came
            path.unlink()
    assert process.returncode == 130, err
    assert err.strip().splitlines()[-1] == "error: interrupted"
    assert {p.name for p in tmp_path.iterdir()} == before
