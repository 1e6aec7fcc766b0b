"""No command replaces a file of another kind by any of its outputs, unless `--force` is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.kinds import kind_of, kind_to_replace
from edgetrain.artifacts.specs import InputSpec, TaskSpec
from edgetrain.artifacts.tensor_stream import STATE_KEY
from edgetrain.artifacts.tensors import write_tensors
from edgetrain.cli import command, outputs
from edgetrain.config.model import ModelConfig
from edgetrain.errors import EdgetrainError

PROGRAM = {"o.pte": "program", "o.json": "manifest"}
TRAINED = {
    "o.pth": "checkpoint",
    "o.last.pth": "state of a training run",
    "o.history.json": "history",
    "o.history.png": "picture",
}
TUNED = {"o.history.json": "history", "o.history.png": "picture", "o.state.ptd": "state of a fine-tuning run"}
RUNNER = {"r/bin/edgetrain-runner": "native runner"}
# A command line, the stage that it calls, and all that the stage writes.
COMMANDS: list[tuple[str, tuple[str, str], Mapping[str, str]]] = [
    ("train -o o.pth", ("training", "train"), TRAINED),
    (
        "train -o o.pth --export",
        ("training", "train"),
        {**TRAINED, **PROGRAM, "o.ptd": "file of weights"},
    ),
    (
        "export in.pth -o o --memory-plot p.png --runner r --update budget:1MB",
        ("export", "export"),
        {
            **PROGRAM,
            **RUNNER,
            "o.ptd": "file of weights",
            "o.update.yaml": "file of update rules",
            "p.png": "picture",
        },
    ),
    (
        "export in.pth --compare-updates --memory-plot p.png",
        ("export", "compare_updates"),
        {"p.png": "picture"},
    ),
    (
        "export in.pth -o o --weights inline --model xor_mlp --input-shape 2",
        ("convert", "convert"),
        PROGRAM,
    ),
    (
        "finetune in.pte --data digits --runtime torch -o o.ptd --to-pth c.pth",
        ("finetuning", "finetune"),
        {**TUNED, "o.ptd": "file of weights", "c.pth": "checkpoint"},
    ),
    (
        "finetune in.pte --data digits --runtime torch -o o.pte --picture svg",
        ("finetuning", "finetune"),
        {
            **PROGRAM,
            "o.history.json": "history",
            "o.history.svg": "picture",
            "o.state.ptd": "state of a fine-tuning run",
        },
    ),
    (
        "pack --data digits -o o.ptd",
        ("data.packing", "pack_dataset"),
        {"o.ptd": "packed data set", "o.json": "description of packed data"},
    ),
    ("convert in.pth --to pth -o o.pth", ("convert", "convert"), {"o.pth": "checkpoint"}),
    ("convert in.pth --to pte -o o.pte", ("convert", "convert"), {"o.pte": "program"}),
    (
        "convert in.pth --to train -o o.pte --optimizer sgd",
        ("convert", "convert"),
        {**PROGRAM, "o.ptd": "file of weights"},
    ),
    (
        "optimize in.pth --data digits --quantize int8 -o o.pth",
        ("optimize", "optimize"),
        {
            "o.pth": "checkpoint",
            "o.optimize.json": "optimization report",
            "o.int8.pte": "program",
            "o.quantization.png": "picture",
        },
    ),
    (
        "optimize in.pth --data digits --quantize int8 -o o.pte",
        ("optimize", "optimize"),
        {"o.pte": "program", "o.optimize.json": "optimization report", "o.quantization.png": "picture"},
    ),
    (
        "bench in.pte --data digits -o o.json --report o.html",
        ("bench", "bench"),
        {"o.json": "bench report", "o.png": "picture", "o.html": "web page"},
    ),
    (
        "predict in.pte a.png -o o.csv --picture p.png",
        ("predicting", "predict"),
        {"o.csv": "table of predictions", "p.png": "picture"},
    ),
    ("build-runner in.pte -o r", ("runtimes.native_build", "build_runner"), RUNNER),
]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of each kind; packed data, which is told by what lies beside it, aside."""
    folder = tmp_path_factory.mktemp("samples")
    task = TaskSpec(name="classification", loss="cross_entropy", classes=("a", "b"))
    inputs = {"inputs": InputSpec(shape=(2,))}
    for name, training in (("checkpoint", None), ("state of a training run", {})):
        model = ModelConfig(name="xor_mlp")
        save_checkpoint(folder / name, Checkpoint(model, {}, inputs, task, training=training))
    write_tensors(folder / "file of weights", {"w": torch.zeros(2)})
    write_tensors(folder / "state of a fine-tuning run", {STATE_KEY: torch.zeros(2, dtype=torch.uint8)})
    for name, content in {
        "program": b"\x10\0\0\0ET12",
        "manifest": b'{"pairing": ""}',
        "history": b'{"epochs": []}',
        "bench report": b'{"workload": {}}',
        "optimization report": b'{"steps": [], "details": {}}',
        "description of packed data": b'{"samples": 3}',
        "picture": b"\x89PNG\r\n\x1a\n",
        "web page": b"<!doctype html>",
        "native runner": b"\x7fELF",
    }.items():
        (folder / name).write_bytes(content)
    assert all(kind_to_replace(path) == path.name for path in folder.iterdir())
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def claimed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the commands claim, by name."""
    found: dict[str, str] = {}

    def claim(files: Sequence[tuple[Path, str]], *, named: Sequence[tuple[Path, str]], **more: Any) -> None:
        found.update((str(path), kind) for path, kind in [*files, *named])
        outputs.claim_outputs(files, named=named, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "claim_outputs", claim)
    return found


@pytest.mark.parametrize(("line", "stage", "written"), COMMANDS, ids=[line for line, _, _ in COMMANDS])
@pytest.mark.promise("A file of another kind is not replaced")
def test_every_output_of_every_command(
    run: Callable[..., Any],
    folder: Path,
    fake_stage: Callable[..., None],
    stand_in: Callable[[str, str], Path],
    claimed: dict[str, str],
    samples: dict[str, bytes],
    line: str,
    stage: tuple[str, str],
    written: Mapping[str, str],
) -> None:
    def reached(*_: Any, **__: Any) -> None:
        raise EdgetrainError("the stage was reached")

    fake_stage(stage[0], **{stage[1]: reached})
    stand_in("in.pth", "checkpoint")
    stand_in("in.pte", "program")
    ran = run(*line.split())
    assert "the stage was reached" in ran.stderr
    assert claimed == written
    others = ["file of weights", "checkpoint", "history", "picture", "program"]
    for name, kind in written.items():
        path = folder / name
        for other in others:
            if other == kind:
                continue
            path.write_bytes(samples[other])
            ran = run(*line.split())
            assert (ran.code, ran.stdout) == (2, ""), (name, other, ran.stderr)
            assert f"{name} is a {other}, which a" in " ".join(ran.stderr.split()), (name, other)
            assert path.read_bytes() == samples[other]
        ran = run(*line.split(), "--force")
        assert "the stage was reached" in ran.stderr, (name, ran.stderr)
        # The same kind, a file that is empty, and one of no kind that is known.
        for content in (samples.get(kind, b""), b"", b"dear diary"):
            path.write_bytes(content)
            ran = run(*line.split())
            assert "the stage was reached" in ran.stderr, (name, ran.stderr)
        path.unlink()


@pytest.mark.promise("A file of another kind is not replaced")
def test_all_pairs_of_kinds(folder: Path, samples: dict[str, bytes]) -> None:
    path = folder / "x"
    for there, content in samples.items():
        path.write_bytes(content)
        for wanted in [*samples, "packed data set", "table of predictions", "file of update rules"]:
            pair: Any = (path, wanted)
            if wanted == there:
                outputs.claim_outputs([pair], explicit=True)
                continue
            for claim in ({"outputs": [pair]}, {"outputs": [], "named": [pair]}):
                for resume in (False, True):
                    with pytest.raises(outputs.UsageError, match=f"x is an? {there}, which an? {wanted} "):
                        outputs.claim_outputs(**claim, explicit=True, resume=resume)
            outputs.claim_outputs([pair], explicit=True, force=True)


def test_forced_packing_replaces_weights(run: Callable[..., Any], folder: Path) -> None:
    path = folder / "o.ptd"
    write_tensors(path, {"w": torch.zeros(2)})
    before, pack = path.read_bytes(), ("pack", "--data", "digits", "-o", "o.ptd")
    assert run(*pack).code == 2
    assert path.read_bytes() == before
    assert run(*pack, "--force").code == 0
    assert kind_to_replace(path) == "packed data set"
    assert kind_of(path.with_suffix(".json")) == "description of packed data"
    assert run(*pack).code == 0, "the same kind"
