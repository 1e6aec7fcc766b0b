"""Tuned weights put back into a checkpoint: nothing of it is lost, and nothing is made up."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from own_models import Constants, Counting, Tied, UnusedHead, data_for, export_model
from torch import nn

from edgetrain.artifacts.checkpoint import load_checkpoint, save_checkpoint
from edgetrain.artifacts.manifest import load_manifest, manifest_path, save_manifest
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.tensors import read_tensors
from edgetrain.config.stages import ExportCommand, FinetuneCommand
from edgetrain.errors import InputError, UsageError
from edgetrain.export import export
from edgetrain.factories import NOTHING
from edgetrain.finetuning import source_beside
from edgetrain.finetuning.stage import finetune_here as finetune
from edgetrain.runner import find_runner
from edgetrain.runtimes import open_session

RUNTIMES = [
    "executorch",
    "torch",
    pytest.param("native", marks=pytest.mark.skipif(find_runner() is None, reason="needs the runner")),
]


def _config(kind: type[nn.Module], folder: Path, runtime: str) -> FinetuneCommand:
    settings = {"runtime": runtime, "epochs": 1, "threads": 1}
    return FinetuneCommand.model_validate(
        {"data": data_for(kind, folder), "optimizer": {"lr": 0.05}, "finetune": settings}
    )


# Each kind and each runtime; the other pairs are left to `make test-all`.
USUAL = [("executorch", UnusedHead), ("torch", Counting), ("native", Tied), ("native", Counting)]
PAIRS = [
    pytest.param(
        runtime,
        kind,
        marks=[*marks, *([] if (runtime, kind) in USUAL else [pytest.mark.thorough])],
    )
    for runtime, marks in ((r, ()) if isinstance(r, str) else (*r.values, r.marks) for r in RUNTIMES)
    for kind in (UnusedHead, Tied, Counting, Constants)
]


@pytest.mark.parametrize(("runtime", "kind"), PAIRS)
def test_the_checkpoint_of_tuned_weights(tmp_path: Path, runtime: str, kind: type[nn.Module]) -> None:
    """Every tensor of the source is in it, those that the program doesn't hold as they were; exported again
    it gives the tuned .ptd byte for byte."""
    program, trusted = export_model(kind, tmp_path)
    tuned, folded = tmp_path / "tuned.ptd", tmp_path / "tuned.pth"
    result = finetune(_config(kind, tmp_path, runtime), program, tuned, to_pth=folded, trusted=trusted)
    assert result.before is not None
    assert result.after.loss < result.before.loss
    before, after = load_checkpoint(tmp_path / "model.pth"), load_checkpoint(folded)
    assert list(after.state) == list(before.state)
    assert (after.inputs, after.targets, after.task) == (before.inputs, before.targets, before.task)
    contract = load_manifest(manifest_path(program)).contract
    held = {name for t in contract.tensors for name in (t.name, *t.aliases)}
    # Models that this would prove nothing of otherwise.
    assert before.state.keys() - held or kind in (Tied, Constants)
    assert any(tensor.aliases for tensor in contract.tensors) == (kind is Tied)
    for name in before.state.keys() - held:
        assert torch.equal(after.state[name], before.state[name]), name
    weights = load_program(program, tuned).tensors()
    for tensor in contract.tensors:
        for name in {tensor.name, *tensor.aliases} & before.state.keys():
            assert torch.equal(after.state[name], weights[tensor.name]), name
    again = export(
        ExportCommand.model_validate({"export": {"max_batch_size": 8}}),
        folded,
        tmp_path / "again",
        trusted=trusted,
    )
    assert again.weights is not None
    assert again.weights.read_bytes() == tuned.read_bytes()


def _rules(folder: Path, *rules: dict[str, Any]) -> str:
    """A value of `export.update` with these rules."""
    (folder / "rules.json").write_text(json.dumps({"rules": rules}))
    return f"rules:{folder / 'rules.json'}"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_parts_and_adapters_are_merged(tmp_path: Path, runtime: str) -> None:
    """The checkpoint is one of the original model, and computes what the tuned program does."""
    update = _rules(
        tmp_path, {"pattern": "body.1", "train": 0.25}, {"pattern": "head", "train": {"lora": {"rank": 2}}}
    )
    program, trusted = export_model(UnusedHead, tmp_path, update=update)
    tuned, folded = tmp_path / "tuned.ptd", tmp_path / "tuned.pth"
    finetune(_config(UnusedHead, tmp_path, runtime), program, tuned, to_pth=folded, trusted=trusted)
    before, after = load_checkpoint(tmp_path / "model.pth").state, load_checkpoint(folded).state
    assert list(after) == list(before)
    moved = {name: after[name] - tensor for name, tensor in before.items()}
    assert {name for name, change in moved.items() if change.any()} == {
        *("body.1.weight", "body.1.bias", "head.weight"),
    }
    trained, frozen = moved["body.1.weight"][:4], moved["body.1.weight"][4:]
    assert trained.any(1).all()
    assert not frozen.any()
    assert torch.linalg.matrix_rank(moved["head.weight"], rtol=1e-3) == 2
    model = UnusedHead()
    model.load_state_dict(after)
    inputs = torch.randn(4, 1, 8, 8)
    session = open_session("executorch", load_program(program, tuned))
    outputs = session.predict({"inputs": inputs})["output"]
    torch.testing.assert_close(outputs, model(inputs), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_parts_in_files_that_hold_less(tmp_path: Path, runtime: str) -> None:
    """Of a layer that is split, they hold the trained part, and give what all weights give."""
    update = _rules(tmp_path, {"pattern": "body.1", "train": 0.25}, {"pattern": "head", "train": "all"})
    program, trusted = export_model(UnusedHead, tmp_path, update=update)
    states, weights = {}, {}
    for holds in ("full", "trainable", "delta"):
        config = _config(UnusedHead, tmp_path, runtime)
        config = config.model_copy(update={"finetune": config.finetune.model_copy(update={"save": holds})})
        tuned, folded = tmp_path / f"{holds}.ptd", tmp_path / f"{holds}.pth"
        finetune(config, program, tuned, to_pth=folded, trusted=trusted)
        assert read_tensors(tuned).contents.holds == holds
        states[holds], weights[holds] = load_checkpoint(folded).state, load_program(program, tuned).tensors()
    names = {f"{layer}.{kind}" for layer in ("body.1.trained", "head") for kind in ("weight", "bias")}
    for holds in ("trainable", "delta"):
        assert set(read_tensors(tmp_path / f"{holds}.ptd").entries) == names
        # A difference is rounded, and so is the sum.
        tolerance = 0 if holds == "trainable" else 1e-6
        for found, expected in ((states[holds], states["full"]), (weights[holds], weights["full"])):
            assert found.keys() == expected.keys()
            for name, tensor in expected.items():
                torch.testing.assert_close(found[name], tensor, rtol=0, atol=tolerance, msg=name)
    moved = states["full"]["body.1.weight"] - load_checkpoint(tmp_path / "model.pth").state["body.1.weight"]
    assert moved[:4].any()
    assert not moved[4:].any()


def test_adapters_are_merged_without_the_checkpoint(tmp_path: Path) -> None:
    update = _rules(tmp_path, {"pattern": "head", "train": {"lora": {}}})
    program, trusted = export_model(Constants, tmp_path, update=update)
    before = load_checkpoint(tmp_path / "model.pth").state
    (tmp_path / "model.pth").unlink()
    config = _config(Constants, tmp_path, "executorch")
    finetune(config, program, tmp_path / "t.ptd", to_pth=tmp_path / "t.pth", trusted=trusted)
    after = load_checkpoint(tmp_path / "t.pth").state
    assert list(after) == list(before)
    assert {name for name, tensor in after.items() if not torch.equal(tensor, before[name])} == {
        "head.weight"
    }


@pytest.fixture
def alone(tmp_path: Path) -> tuple[Path, Path, Any]:
    """A program on its own in a folder, the checkpoint in another; and what to trust."""
    program, trusted = export_model(UnusedHead, tmp_path)
    folder = tmp_path / "device"
    folder.mkdir()
    for suffix in (".pte", ".ptd", ".json"):
        shutil.move(program.with_suffix(suffix), folder)
    return folder / program.name, tmp_path / "model.pth", trusted


def test_the_checkpoint_is_needed_for_what_only_it_has(alone: tuple[Path, Path, Any], tmp_path: Path) -> None:
    program, checkpoint, trusted = alone
    config, tuned = _config(UnusedHead, tmp_path, "executorch"), tmp_path / "t.ptd"
    assert source_beside(program) is None
    with pytest.raises(
        InputError, match=r"does not hold rotation\.weight, which is in .*, model\.pth; .* with --from-pth"
    ):
        finetune(config, program, tuned, to_pth=tmp_path / "t.pth", trusted=trusted)
    assert not tuned.exists()
    # With the checkpoint no code is run: it is plain data.
    finetune(config, program, tuned, to_pth=tmp_path / "t.pth", from_pth=checkpoint, trusted=NOTHING)
    source, folded = load_checkpoint(checkpoint).state, load_checkpoint(tmp_path / "t.pth").state
    assert torch.equal(folded["rotation.weight"], source["rotation.weight"])
    assert not torch.equal(folded["head.weight"], source["head.weight"])
    finetune(config, program, tuned)  # the checkpoint matters to --to-pth alone


def test_another_checkpoint_is_refused(alone: tuple[Path, Path, Any], tmp_path: Path) -> None:
    program, checkpoint, trusted = alone
    config = _config(UnusedHead, tmp_path, "executorch")
    other = load_checkpoint(checkpoint)
    other.state["rotation.bias"] += 1
    save_checkpoint(tmp_path / "other.pth", other)

    def fold(from_pth: Path | None, to_pth: Path | None = tmp_path / "t.pth") -> None:
        finetune(config, program, tmp_path / "t.ptd", to_pth=to_pth, from_pth=from_pth, trusted=trusted)

    with pytest.raises(
        InputError, match=r"other\.pth is not the checkpoint that model\.pte was exported from"
    ):
        fold(tmp_path / "other.pth")
    shutil.copy(tmp_path / "other.pth", program.with_name("model.pth"))
    with pytest.raises(InputError, match=r"does not hold rotation\.weight"):
        fold(None)
    with pytest.raises(UsageError, match="--from-pth is what --to-pth takes from"):
        fold(checkpoint, None)
    # A program that doesn't say where it came from takes any checkpoint of its model.
    manifest = load_manifest(manifest_path(program))
    save_manifest(manifest_path(program), manifest.model_copy(update={"checkpoint": None}))
    fold(tmp_path / "other.pth")
    del other.state["head.bias"]
    save_checkpoint(tmp_path / "other.pth", other)
    with pytest.raises(InputError, match=r"other\.pth has no head\.bias as model\.pte has"):
        fold(tmp_path / "other.pth")


def test_no_checkpoint_is_needed_where_the_program_holds_all(digits: Any, tmp_path: Path) -> None:
    digits.checkpoint.unlink()
    data = {"name": "digits", "images_per_class": 4, "test_images_per_class": 2}
    config = FinetuneCommand.model_validate(
        {"data": data, "finetune": {"runtime": "executorch", "max_steps": 1}}
    )
    finetune(config, digits.program, tmp_path / "t.ptd", to_pth=tmp_path / "t.pth")
    tuned = load_program(digits.program, tmp_path / "t.ptd").tensors()
    folded = load_checkpoint(tmp_path / "t.pth").state
    assert folded.keys() == tuned.keys()
    assert all(torch.equal(folded[name], tensor) for name, tensor in tuned.items())
