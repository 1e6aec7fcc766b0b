from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgetrain.artifacts.history import EpochRecord, History, load_history, save_history
from edgetrain.artifacts.inspect import describe
from edgetrain.artifacts.tensors import write_tensors
from edgetrain.config.data import DataConfig
from edgetrain.config.stages import FinetuneCommand
from edgetrain.data import pack_dataset
from edgetrain.errors import InputError
from edgetrain.finetuning import finetune


def test_every_kind(digits_program: Any, inline_program: Any, tmp_path: Path) -> None:
    program = describe(digits_program.program)
    assert (program["kind"], program["manifest"]) == ("edgetrain program", "matches")
    assert program["methods"]["predict"]["inputs"] == ["inputs ['batch', 1, 8, 8] float32"]
    names = {tensor["name"] for tensor in program["tensors"]}
    manifest = describe(digits_program.manifest)
    assert manifest["kind"] == "edgetrain manifest"
    assert {k: v for k, v in manifest.items() if k != "kind"} == {
        k: v for k, v in program.items() if k not in ("kind", "manifest")
    }
    weights = describe(digits_program.weights)
    assert (weights["kind"], weights["digest"]) == ("ExecuTorch tensors", "matches")
    assert weights["pairing"] == manifest["pairing"]
    assert {tensor["name"] for tensor in weights["tensors"]} == names
    checkpoint = describe(digits_program.checkpoint)
    assert checkpoint["kind"] == "edgetrain.checkpoint"
    assert not checkpoint["resumable"]
    assert describe(digits_program.checkpoint.with_name("model.last.pth"))["resumable"]
    assert checkpoint["parameters"] == sum(
        int(np.prod(t["shape"])) for t in program["tensors"] if t["role"] == "trainable"
    )
    history = describe(digits_program.checkpoint.with_name("model.history.json"))
    assert (history["kind"], history["runtime"]) == ("edgetrain history", "torch")
    assert describe(inline_program.program)["weights"] is None
    shutil.copy(digits_program.program, tmp_path / "alone.pte")
    assert describe(tmp_path / "alone.pte")["manifest"] == "none beside it"


def test_packed_data(tmp_path: Path) -> None:
    path = tmp_path / "data.ptd"
    pack_dataset(DataConfig(images_per_class=4, test_images_per_class=1), "train", path)
    described = describe(path)
    assert (described["kind"], described["description"]) == ("packed data set", "matches")
    assert (described["samples"], described["split"], described["digest"]) == (40, "train", "matches")
    assert described["input"] == {"shape": [1, 8, 8], "dtype": "uint8"}
    assert described["task"]["classes"][9] == "9"
    description = describe(tmp_path / "data.json")
    assert description["kind"] == "description of a packed data set"
    assert description["file"]["bytes"] == path.stat().st_size
    shutil.copy(path, tmp_path / "alone.ptd")
    alone = describe(tmp_path / "alone.ptd")
    assert (alone["kind"], alone["samples"], alone["description"]) == (
        "packed data set",
        40,
        "none beside it",
    )
    write_tensors(path, {"inputs": torch.ones(3, 2), "targets": torch.ones(3)})
    with pytest.raises(InputError, match=r"is not the file that data\.json describes"):
        describe(path)
    write_tensors(tmp_path / "other.ptd", {"inputs": torch.ones(3, 2), "targets": torch.ones(2)})
    assert describe(tmp_path / "other.ptd")["kind"] == "ExecuTorch tensors"


def test_what_runs_are_resumed_from(digits: Any) -> None:
    settings = {
        "data": {"images_per_class": 4, "test_images_per_class": 1},
        "finetune": {"runtime": "torch", "epochs": 2, "max_steps": 3, "batch_size": 16, "threads": 1},
    }
    tuned = digits.program.with_name("t.ptd")
    result = finetune(FinetuneCommand.model_validate(settings), digits.program, tuned)
    state = describe(result.state_path)
    assert (state["kind"], state["runtime"]) == ("fine-tuning state", "torch")
    assert (state["finished_epochs"], state["step"], state["total_steps"]) == (1, 3, 3)
    assert {tensor["name"] for tensor in state["tensors"]} == {t["name"] for t in describe(tuned)["tensors"]}
    plain = torch.load(result.state_path, weights_only=True)
    for missing in ("state", "tensors", "source", "total_steps"):
        torch.save({k: v for k, v in plain.items() if k != missing}, result.state_path)
        with pytest.raises(InputError, match=r"t\.state\.pth is no complete state"):
            describe(result.state_path)
    torch.save([1], result.state_path)
    with pytest.raises(InputError, match="is no edgetrain checkpoint"):
        describe(result.state_path)


def test_a_training_state_tells_where_it_stands(digits_program: Any) -> None:
    described = describe(digits_program.checkpoint.with_name("model.last.pth"))
    assert (described["finished_epochs"], described["step"] > 0) == (1, True)
    assert described["step"] == described["total_steps"]
    assert "step" not in describe(digits_program.checkpoint)


def test_names_do_not_matter(digits_program: Any, tmp_path: Path) -> None:
    shutil.copy(digits_program.weights, tmp_path / "x.pth")
    assert describe(tmp_path / "x.pth")["kind"] == "ExecuTorch tensors"


@pytest.mark.parametrize("name", ["model.pte", "model.ptd", "model.pth", "model.json", "model.history.json"])
def test_half_a_file(digits_program: Any, inline_program: Any, tmp_path: Path, name: str) -> None:
    # A program without segments does not say how long it is; one with weights inside does.
    made = inline_program if name == "model.pte" else digits_program
    data = made.program.with_name(name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError):
        describe(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[1]",
        b"{}",
        b'{"epochs": 1}',
        b'{"pairing": 1}',
        b'{"samples": 1}',
        b"\0" * 100,
        b"abcdET12",
        b"abcdFT01",
        b"PK",
        b"{" + bytes(range(256)),
    ],
)
def test_junk(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk").write_bytes(content)
    with pytest.raises(InputError, match="junk"):
        describe(tmp_path / "junk")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        describe(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        describe(tmp_path / "missing")
    np.savez(tmp_path / "data.npz", x=np.ones(3))
    with pytest.raises(InputError):
        describe(tmp_path / "data.npz")


def test_history_round_trip(tmp_path: Path) -> None:
    records = [EpochRecord(epoch=0, val_loss=1 / 3), EpochRecord(epoch=1, train_loss=0.1, steps=7)]
    history = History(
        runtime="executorch", device="cpu", threads=2, seed=5, config={"a": {"b": [1]}}, epochs=records
    )
    save_history(tmp_path / "h.json", history)
    assert load_history(tmp_path / "h.json") == history
    (tmp_path / "h.json").write_text(
        (tmp_path / "h.json").read_text().replace('"schema_version": 1', '"schema_version": 2')
    )
    with pytest.raises(InputError, match="is no history"):
        load_history(tmp_path / "h.json")
    with pytest.raises(InputError, match=r"can't read the history .*missing\.json: No such file"):
        load_history(tmp_path / "missing.json")
