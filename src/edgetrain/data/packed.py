"""Packed data sets, read back: one .ptd, or a folder with one for each split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..artifacts.packed import PackedDataset, load_description_of
from ..artifacts.specs import INPUTS, TARGETS
from ..artifacts.tensors import TensorFile, read_tensors
from ..config.data import DataConfig
from ..errors import InputError
from .array_names import Part, wanted_arrays


@dataclass(frozen=True)
class Packed:
    """What was found. Tensors are mapped: the samples stay on disk until they are asked for.

    Attributes:
        test: None where one file was read.
        description: of the training split; None where it lies not beside it.
    """

    train: Part
    test: Part | None
    description: PackedDataset | None


def is_packed(root: Path) -> bool:
    """Whether `root` is a place of packed data rather than a file of arrays."""
    return root.is_dir() or root.suffix == ".ptd"


def read_packed(root: Path, config: DataConfig) -> Packed:
    """Reads a packed file, or the train.ptd (or NAME.train.ptd) and the test.ptd of a folder.

    Raises:
        UsageError: see `wanted_arrays`.
        InputError: a file is missing or damaged, holds something else, or is not as its .json says.
    """
    if not root.is_dir():
        part, description = _read(root, config, "")
        return Packed(part, None, description)
    train, described = _read(_in_folder(root, "train"), config, "")
    test, test_described = _read(_in_folder(root, "test"), config, "test_")
    if described and test_described and described.classes != test_described.classes:
        raise InputError(f"{root}: the training and the test split have other classes; pack both again")
    if train.inputs.keys() != test.inputs.keys() or train.targets.keys() != test.targets.keys():
        raise InputError(f"{root}: the training and the test split have other tensors; pack both again")
    return Packed(train, test, described)


def _in_folder(folder: Path, split: str) -> Path:
    found = sorted([*folder.glob(f"{split}.ptd"), *folder.glob(f"*.{split}.ptd")])
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InputError(
            f"{folder} must hold one {split}.ptd or NAME.{split}.ptd ({names} found); "
            f"make one with 'edgetrain pack --split {split} -o {folder / split}.ptd'"
        )
    return found[0]


def _read(path: Path, config: DataConfig, prefix: str) -> tuple[Part, PackedDataset | None]:
    file = read_tensors(path, mapped=True)
    description = load_description_of(path)
    inputs, targets = _names(path, file, description, config)
    missing = [name for name in (*inputs, *targets) if name not in file.entries]
    if missing:
        raise InputError(
            f"{path} has no tensor {missing[0]}; it has {', '.join(file.entries) or 'none'}; choose with "
            "--inputs and --targets"
        )
    views = {name: file.view(name) for name in (*inputs, *targets)}
    return Part({n: views[n] for n in inputs}, {n: views[n] for n in targets}, prefix), description


def _names(
    path: Path, file: TensorFile, description: PackedDataset | None, config: DataConfig
) -> tuple[list[str], list[str]]:
    """Of inputs and targets: those that are chosen, else those that are described, else the usual ones."""
    if description is not None:
        inputs, targets = list(description.inputs), list(description.targets)
    elif set(file.entries) == {INPUTS, TARGETS} or (config.inputs and config.targets):
        inputs, targets = [INPUTS], [TARGETS]
    else:
        raise InputError(
            f"{path} is no packed data set: it holds other tensors than {INPUTS} and {TARGETS}; "
            "make one with 'edgetrain pack', or choose with --inputs and --targets"
        )
    chosen, chosen_targets = ([one.name for one in wanted] for wanted in wanted_arrays(config))
    return chosen if config.inputs else inputs, chosen_targets if config.targets else targets
