"""Packed data sets, read back: one .ptd, or a folder with one for each split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..artifacts.packed import INPUTS, TARGETS, PackedDataset, load_description_of
from ..artifacts.tensors import read_tensors
from ..errors import InputError


@dataclass(frozen=True)
class Packed:
    """What was found.

    Attributes:
        tensors: `inputs` and `targets`, and `test_inputs` and `test_targets` of a folder. They are mapped:
            the samples stay on disk until they are asked for.
        description: of the training split; None where it lies not beside it.
    """

    tensors: dict[str, Tensor]
    description: PackedDataset | None


def read_packed(root: Path) -> Packed:
    """Reads a packed file, or the train.ptd (or NAME.train.ptd) and the test.ptd of a folder.

    Raises:
        InputError: a file is missing or damaged, holds something else, or is not as its .json says.
    """
    if not root.is_dir():
        return _read(root)
    train, test = (_read(_in_folder(root, name)) for name in ("train", "test"))
    if train.description and test.description and train.description.task != test.description.task:
        raise InputError(f"{root}: the training and the test split have other classes; pack both again")
    tensors = {**train.tensors, **{f"test_{name}": tensor for name, tensor in test.tensors.items()}}
    return Packed(tensors, train.description)


def _in_folder(folder: Path, split: str) -> Path:
    found = sorted([*folder.glob(f"{split}.ptd"), *folder.glob(f"*.{split}.ptd")])
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{folder} must hold one {split}.ptd or NAME.{split}.ptd ({names} found); "
            f"make one with 'edgetrain pack --split {split} -o {folder / split}.ptd'"
        )
    return found[0]


def _read(path: Path) -> Packed:
    file = read_tensors(path, mapped=True)
    if set(file.entries) != {INPUTS, TARGETS}:
        raise InputError(
            f"{path} is no packed data set: it holds other tensors than {INPUTS} and {TARGETS}; "
            "make one with 'edgetrain pack'"
        )
    return Packed({name: file.view(name) for name in (INPUTS, TARGETS)}, load_description_of(path))
