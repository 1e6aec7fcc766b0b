"""Which arrays of a file are inputs and targets, of the training and of the test part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..artifacts.specs import INPUTS, TARGETS
from ..config.data import DataConfig
from ..errors import InputError, UsageError
from .array_files import read_array_file


@dataclass(frozen=True)
class Wanted:
    """A tensor of a sample, and the arrays it may come from: the first that a file has.

    Attributes:
        name: in samples.
        train, test: names of arrays.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Arrays of a part of a data set, by the names they have in samples.

    Attributes:
        prefix: before names in messages, `test_` for the test part.
    """

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]
    prefix: str = ""


_USUAL_INPUTS = Wanted(INPUTS, ("inputs", "x", "x_train"), ("test_inputs", "x_test"))
_USUAL_TARGETS = Wanted(TARGETS, ("targets", "y", "y_train"), ("test_targets", "y_test"))


def wanted_arrays(config: DataConfig) -> tuple[list[Wanted], list[Wanted]]:
    """The inputs and targets that `data.inputs` and `data.targets` name, or the usual ones.

    Raises:
        UsageError: a name stands in both, or twice in one.
    """
    names = [*config.inputs, *config.targets]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"data.inputs, data.targets: {twice} is named twice; name each array once")
    inputs = [_named(name) for name in config.inputs] or [_USUAL_INPUTS]
    targets = [_named(name) for name in config.targets] or [_USUAL_TARGETS]
    return inputs, targets


def _named(name: str) -> Wanted:
    return Wanted(name, (name, f"{name}_train", f"train_{name}"), (f"test_{name}", f"{name}_test"))


def read_inputs(path: Path, config: DataConfig) -> Part:
    """The inputs of the training part of a .npz or .safetensors file, which may have no targets.

    Raises:
        as `read_parts`.
    """
    inputs, _ = wanted_arrays(config)
    found, there = read_array_file(path, {name for one in inputs for name in one.train})
    _require([one.train for one in inputs if _first(found, one.train) is None], path, there)
    return Part(_chosen(found, inputs, False), {})


def read_parts(path: Path, config: DataConfig, *, targets_needed: bool = True) -> tuple[Part, Part | None]:
    """Reads the training part of a .npz or .safetensors file, and the test part where it has one.

    Args:
        targets_needed: False: a file may have none, as long as `data.targets` names none.
    Raises:
        UsageError: see `wanted_arrays`.
        InputError: see `read_array_file`; or arrays are missing.
    """
    inputs, targets = wanted_arrays(config)
    everything = [*inputs, *targets]
    wanted = {name for one in everything for name in (*one.train, *one.test)}
    found, there = read_array_file(path, wanted)
    known = [name for one in targets for name in (*one.train, *one.test)]
    if not targets_needed and not config.targets and not any(name in found for name in known):
        everything, targets = inputs, []
    missing = [one.train for one in everything if _first(found, one.train) is None]
    without_test = [one.test for one in everything if _first(found, one.test) is None]
    if not missing and len(without_test) < len(everything):
        missing = without_test
    _require(missing, path, there)
    train = Part(_chosen(found, inputs, False), _chosen(found, targets, False))
    if without_test:
        return train, None
    return train, Part(_chosen(found, inputs, True), _chosen(found, targets, True), "test_")


def _require(missing: list[tuple[str, ...]], path: Path, there: list[str]) -> None:
    """Raises InputError where arrays are missing, each known by some names."""
    if missing:
        lacking = "; ".join(f"'{names[0]}' (or {', '.join(names[1:])})" for names in missing)
        raise InputError(
            f"{path} lacks {lacking}; it has {', '.join(there) or 'nothing'}; choose with --inputs and "
            "--targets"
        )


def _first(found: Mapping[str, Tensor], names: tuple[str, ...]) -> Tensor | None:
    return next((found[name] for name in names if name in found), None)


def _chosen(found: Mapping[str, Tensor], wanted: list[Wanted], test: bool) -> dict[str, Tensor]:
    arrays = {one.name: _first(found, one.test if test else one.train) for one in wanted}
    return {name: array for name, array in arrays.items() if array is not None}
