"""Damage of any artifact is noticed by its reader, or is provably without effect."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.history import load_history
from edgetrain.artifacts.packed import load_description, load_description_of
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import load_run
from edgetrain.artifacts.tensors import read_tensors
from edgetrain.config.data import DataConfig
from edgetrain.config.stages import FinetuneCommand
from edgetrain.data.packing import pack_dataset
from edgetrain.errors import InputError
from edgetrain.finetuning.stage import finetune_here as finetune

DATA = {"name": "digits", "images_per_class": 3, "test_images_per_class": 2}


def _checkpoint(path: Path) -> Any:
    return vars(load_checkpoint(path))


def _program(path: Path) -> Any:
    program = load_program(path.with_suffix(".pte"))
    return {
        "manifest": program.manifest.model_dump(),
        "program": program.path.read_bytes(),
        **program.tensors(),
    }


def _packed(path: Path) -> Any:
    described = load_description_of(path.with_suffix(".ptd"))
    assert described is not None
    return {"description": described.model_dump(), **read_tensors(path.with_suffix(".ptd")).tensors()}


def _state(path: Path) -> Any:
    run = load_run(path)
    return {**vars(run), "record": run.record.model_dump()}


READERS: dict[str, Callable[[Path], Any]] = {
    "model.pth": _checkpoint,
    "model.last.pth": _checkpoint,
    "model.pte": _program,
    "model.ptd": _program,
    "model.json": _program,
    "data.ptd": _packed,
    "data.json": lambda path: load_description(path).model_dump(),
    "tuned.ptd": lambda path: read_tensors(path).tensors(),
    "tuned.state.ptd": _state,
    "tuned.history.json": lambda path: load_history(path).model_dump(),
}


@pytest.fixture(scope="module")
def artifacts(digits_program: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file of every kind, from one training, export and fine-tuning."""
    folder = tmp_path_factory.mktemp("artifacts")
    digits_program.copy_to(folder)
    shutil.copy(digits_program.checkpoint.with_name("model.last.pth"), folder)
    pack_dataset(DataConfig.model_validate(DATA), "train", folder / "data.ptd")
    settings = {"max_steps": 2, "batch_size": 10, "runtime": "executorch"}
    config = FinetuneCommand.model_validate({"data": DATA, "finetune": settings})
    finetune(config, folder / "model.pte", folder / "tuned.ptd")
    return folder


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One flipped bit, some other bytes, two places exchanged, the end cut off, or something behind it."""
    changed, size = bytearray(data), len(data)
    kind = chance.choice(["bit", "bit", "bytes", "swap", "cut", "more"])
    at, other = chance.randrange(size), chance.randrange(size)
    if kind == "bit":
        changed[at] ^= 1 << chance.randrange(8)
    elif kind == "bytes":
        some = min(size - at, chance.randrange(1, 64))
        changed[at : at + some] = chance.randbytes(some)
    elif kind == "swap":
        changed[at], changed[other] = changed[other], changed[at]
    elif kind == "cut":
        return data[:at]
    else:
        return data + chance.randbytes(chance.randrange(1, 64))
    return bytes(changed)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _try(artifacts: Path, folder: Path, name: str, damages: int) -> int:
    """How many damages were without effect; all others were refused."""
    for path in artifacts.iterdir():
        shutil.copy(path, folder)
    reader, target = READERS[name], folder / name
    good, right, chance = target.read_bytes(), reader(target), random.Random(name)
    without_effect = 0
    for _ in range(damages):
        target.write_bytes(damaged(good, chance))
        try:
            found = reader(target)
        except InputError:
            continue
        assert _same(found, right), "read, and something else"
        without_effect += 1
    return without_effect


@pytest.mark.promise("A damaged file is refused, or reads as it was", cases=20)
@pytest.mark.parametrize("name", READERS)
def test_damage(artifacts: Path, tmp_path: Path, name: str) -> None:
    assert _try(artifacts, tmp_path, name, 20) <= 10


@pytest.mark.thorough
@pytest.mark.promise("A damaged file is refused, or reads as it was", cases=220)
@pytest.mark.parametrize("name", READERS)
def test_much_damage(artifacts: Path, tmp_path: Path, name: str) -> None:
    _try(artifacts, tmp_path, name, 220)
