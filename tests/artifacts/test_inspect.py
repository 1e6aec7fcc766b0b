from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgetrain.artifacts.history import EpochRecord, History, load_history, save_history
from edgetrain.artifacts.inspect import describe
from edgetrain.artifacts.job import Job, save_job
from edgetrain.artifacts.manifest import load_manifest
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.tensors import write_tensors
from edgetrain.config.data import DataConfig
from edgetrain.config.stages import FinetuneCommand
from edgetrain.data import pack_dataset
from edgetrain.errors import InputError
from edgetrain.finetuning.stage import finetune_here as finetune


def test_every_kind(digits_program: Any, inline_program: Any, tmp_path: Path) -> None:
    program = describe(digits_program.program)
    assert (program["kind"], program["manifest"]) == ("edgetrain program", "matches")
    assert program["methods"]["predict"]["inputs"] == ["inputs ['batch', 1, 8, 8] float32 (input)"]
    assert program["methods"]["predict"]["outputs"] == [
        "output ['batch', 10] float32 (output)",
        "class ['batch'] int64 (prediction)",
    ]
    train = program["methods"]["train"]
    assert train["outputs"][0] == "loss [] float32 (loss)"
    assert (train["parameters"], train["optimizer_states"]) == (8, 8)
    assert (program["methods"]["gradients"]["gradients"], program["splits_batches"]) == (8, False)
    assert program["optimizer"] == {
        "name": "sgd", "momentum": 0.9, "dampening": 0.0, "nesterov": False, "weight_decay": 0.0
    }  # fmt: skip
    assert [metric["name"] for metric in program["metrics"]] == ["loss", "accuracy"]
    assert program["dimensions"]["batch"] == {"least": 1, "most": 32}
    stored = [tensor for tensor in program["tensors"] if tensor["kind"] != "optimizer_state"]
    names = {tensor["name"] for tensor in stored}
    assert len(program["tensors"]) == len(stored) + 8
    manifest = describe(digits_program.manifest)
    assert manifest["kind"] == "edgetrain manifest"
    assert {k: v for k, v in manifest.items() if k != "kind"} == {
        k: v for k, v in program.items() if k not in ("kind", "manifest")
    }
    weights = describe(digits_program.weights)
    assert (weights["kind"], weights["digest"]) == ("ExecuTorch tensors", "matches")
    assert weights["pairing"] == manifest["pairing"]
    assert (weights["holds"], weights["base_sha256"]) == ("full", None)
    assert {tensor["name"] for tensor in weights["tensors"]} == names
    checkpoint = describe(digits_program.checkpoint)
    assert checkpoint["kind"] == "edgetrain.checkpoint"
    assert not checkpoint["resumable"]
    assert describe(digits_program.checkpoint.with_name("model.last.pth"))["resumable"]
    assert checkpoint["elements"] == sum(int(np.prod(t["shape"])) for t in stored if t["update"] == "graph")
    history = describe(digits_program.checkpoint.with_name("model.history.json"))
    assert (history["kind"], history["runtime"]) == ("edgetrain history", "torch")
    assert describe(inline_program.program)["weights"] is None
    shutil.copy(digits_program.program, tmp_path / "alone.pte")
    alone = describe(tmp_path / "alone.pte")
    assert alone["manifest"] == "none beside it"
    methods = load_manifest(digits_program.program.with_suffix(".json")).contract.methods
    assert set(alone["methods"]) >= set(methods)
    evaluate = alone["methods"]["evaluate"]
    batch = evaluate["inputs"][0].removeprefix("float32 [").partition(",")[0]
    assert evaluate["inputs"] == [f"float32 [{batch}, 1, 8, 8]", f"int64 [{batch}]"]
    assert evaluate["operators"]["aten::convolution.out"] == 2
    assert evaluate["delegates"] is None


def test_packed_data(tmp_path: Path) -> None:
    path = tmp_path / "data.ptd"
    pack_dataset(DataConfig(images_per_class=4, test_images_per_class=1), "train", path)
    described = describe(path)
    assert (described["kind"], described["description"]) == ("packed data set", "matches")
    assert (described["samples"], described["split"], described["digest"]) == (40, "train", "matches")
    assert described["inputs"]["inputs"]["shape"] == [1, 8, 8]
    assert described["targets"]["targets"] == {"shape": [], "dtype": "int64"}
    assert described["classes"][9] == "9"
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
    assert (state["kind"], state["runtime"]) == ("state of a fine-tuning run", "torch")
    assert (state["finished_epochs"], state["step"], state["total_steps"]) == (1, 3, 3)
    assert (state["epochs"], state["optimizer"]) == (2, "sgd")
    assert state["source"]["program"] == describe(digits.manifest)["program"]["sha256"]
    assert {tensor["name"] for tensor in state["tensors"]} == {t["name"] for t in describe(tuned)["tensors"]}
    content = bytearray(result.state_path.read_bytes())
    content[-100] ^= 1
    result.state_path.write_bytes(content)
    with pytest.raises(InputError, match=r"t\.state\.ptd is no usable state"):
        describe(result.state_path)


def test_a_job(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    save_job(path, Job(program=Path("m.pte"), data=[Path("d.ptd")], output=Path("t.ptd")))
    described = describe(path)
    assert (described["kind"], described["program"]) == ("fine-tuning job", "m.pte")
    assert described["finetune"]["epochs"] == 5


def test_changes_alone(digits: Any) -> None:
    program, tuned = load_program(digits.program), digits.program.with_name("t.ptd")
    program.save(tuned, {}, "delta")
    described = describe(tuned)
    assert (described["kind"], described["holds"]) == ("ExecuTorch tensors", "delta")
    assert described["base_sha256"] == describe(digits.manifest)["weights"]["sha256"]


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
    with pytest.raises(InputError, match="is an empty folder"):
        describe(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        describe(tmp_path / "missing")
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="is a GGUF model"):
        describe(tmp_path / "model.gguf")


def test_history_round_trip(tmp_path: Path) -> None:
    records = [EpochRecord(epoch=0, val_loss=1 / 3), EpochRecord(epoch=1, train_loss=0.1, steps=7)]
    history = History(
        runtime="executorch", device="cpu", threads=2, seed=5, config={"a": {"b": [1]}}, epochs=records
    )
    save_history(tmp_path / "h.json", history)
    assert load_history(tmp_path / "h.json") == history
    (tmp_path / "h.json").write_text(
        (tmp_path / "h.json").read_text().replace('"schema_version": 3', '"schema_version": 1')
    )
    with pytest.raises(InputError, match="is no history"):
        load_history(tmp_path / "h.json")
    with pytest.raises(InputError, match=r"can't read the history .*missing\.json: No such file"):
        load_history(tmp_path / "missing.json")
