"""Data that doesn't fit a model is refused with what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgetrain.artifacts.specs import InputSpec, TensorSpec
from edgetrain.config.data import DataConfig
from edgetrain.data import Dataset, load_dataset
from edgetrain.data.base import TensorSplit
from edgetrain.data.checks import check_fits, check_ids, warn_of_classes
from edgetrain.errors import InputError

IMAGES = {"inputs": InputSpec(shape=(1, 8, 8))}


def anything(targets: Mapping[str, torch.Tensor], where: str) -> None:
    """Stands for a task that any targets are good for."""


def test_what_fits_passes() -> None:
    data = load_dataset(DataConfig())
    check_fits(data, IMAGES, anything, None)
    check_fits(data, IMAGES, anything, list("0123456789"), {"targets": TensorSpec(shape=(), dtype="int64")})


@pytest.mark.parametrize(
    ("options", "shape", "message"),
    [
        ({}, (3, 32, 32), "are 1x8x8, the model takes 3x32x32; use --image-size 32 --channels 3"),
        ({}, (1, 16, 16), "are 1x8x8, the model takes 1x16x16; use --image-size 16"),
        ({"channels": 3}, (1, 8, 8), "are 3x8x8, the model takes 1x8x8; use --channels 1"),
        ({}, (2,), "are 1x8x8, the model takes 2; use other data"),
        ({"name": "synthetic"}, (1, 8, 8), "are 3x32x32, the model takes 1x8x8; use other data"),
    ],
)
@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_shapes(options: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        check_fits(load_dataset(DataConfig(**options)), {"inputs": InputSpec(shape=shape)}, anything, None)
    assert message in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_images_with_their_channels_last(tmp_path: Path, dtype: type) -> None:
    images = np.zeros((6, 8, 8, 1), dtype)
    for name, stored in (("last", images), ("first", images.transpose(0, 3, 1, 2))):
        np.savez(tmp_path / f"{name}.npz", x=stored, y=np.arange(6) % 2)
    last, first = (
        load_dataset(DataConfig(name="arrays", root=tmp_path / f"{name}.npz")) for name in ("last", "first")
    )
    advice = r"are 8x8x1, the model takes 1x8x8; .* channels last: save array\.transpose\(0, 3, 1, 2\)"
    with pytest.raises(InputError, match=advice):
        check_fits(last, IMAGES, anything, None)
    check_fits(first, IMAGES, anything, None)


@pytest.mark.parametrize(
    ("labels", "shifts", "classes", "heard"),
    [
        (
            [0, 1, 3, 4, 0],
            [],
            "abcde",
            ["there are no training samples of 1 of 5 classes, which can't be learned: 'c'"],
        ),
        (
            [2, 2, 2],
            [],
            "abc",
            ["all 3 training samples are of the class 'c': there is nothing to tell apart"],
        ),
        ([0, 0], [], "a", ["all 2 training samples are of the class 'a': there is nothing to tell apart"]),
        (
            [0, 1],
            [],
            "abcdefghijklmnop",
            ["there are no training samples of 14 of 16 classes, .*: 'c', .*, 'l' and 4 more"],
        ),
        ([2, 2, 2], ["classes:c"], "abc", []),
        ([0, 1, 2], [], "abc", []),
        ([0, 1, 2], [], None, []),
    ],
)
@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_classes_without_samples(
    labels: list[int], shifts: list[str], classes: str | None, heard: list[str], listener: Any
) -> None:
    reporter = listener()
    split = TensorSplit.of(torch.zeros(len(labels), 2), torch.tensor(labels))
    warn_of_classes(split, None if classes is None else list(classes), shifts, reporter)
    assert len(reporter.messages) == len(heard)
    for message, wanted in zip(reporter.messages, heard, strict=True):
        assert re.fullmatch(wanted, message)


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_targets_that_lack_a_dimension_of_one(tmp_path: Path) -> None:
    values = np.arange(6, dtype="f4")
    wanted = {"targets": TensorSpec(shape=(1,))}
    for name, stored in (("flat", values), ("right", values[..., None])):
        np.savez(tmp_path / f"{name}.npz", x=np.zeros((6, 3), "f4"), y=stored)
    flat, right = (
        load_dataset(DataConfig(name="arrays", root=tmp_path / f"{name}.npz")) for name in ("flat", "right")
    )
    with pytest.raises(
        InputError, match=r"are scalar per sample, .* for 1; save them .* as targets\[\.\.\., None"
    ):
        check_fits(flat, flat.inputs, anything, None, wanted)
    check_fits(right, right.inputs, anything, None, wanted)


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_the_task_sees_all_targets_of_both_splits() -> None:
    seen: list[tuple[str, torch.Tensor]] = []
    data = load_dataset(DataConfig())
    check_fits(data, IMAGES, lambda targets, where: seen.append((where, targets["targets"])), None)
    assert [where for where, _ in seen] == ["train ", "test "]
    assert torch.equal(seen[0][1], data.train.labels)
    assert torch.equal(seen[1][1], data.test.labels)


def test_large_targets_are_seen_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    args = {"task": "segment", "shape": [1, 4, 4], "samples": 10, "test_samples": 3}
    data = load_dataset(DataConfig(name="synthetic", args=args))
    monkeypatch.setattr("edgetrain.data.checks._PIECE_BYTES", 4 * 4 * 4 * 8)
    check_fits(data, data.inputs, lambda t, where: seen.append((where, len(t["targets"]))), None)
    assert seen == [
        ("train ", 4),
        ("train (counted from 4) ", 4),
        ("train (counted from 8) ", 2),
        ("test ", 3),
    ]


def two_inputs(folder: Path) -> Dataset:
    pixels = np.zeros((6, 3, 4, 4), dtype=np.uint8)
    np.savez(folder / "a.npz", image=pixels, numbers=pixels[:, 0, 0], kind=np.arange(6) % 2)
    return load_dataset(
        DataConfig(name="arrays", root=folder / "a.npz", inputs=["image", "numbers"], targets=["kind"])
    )


def test_several_inputs_are_told_apart(tmp_path: Path) -> None:
    data = two_inputs(tmp_path)
    image, numbers = InputSpec(shape=(3, 4, 4)), InputSpec(shape=(4,))
    check_fits(data, {"numbers": numbers, "image": image}, anything, None)
    with pytest.raises(InputError, match="samples numbers are 4, the model takes 5"):
        check_fits(data, {"image": image, "numbers": InputSpec(shape=(5,))}, anything, None)
    with pytest.raises(
        InputError, match="samples image are 3x4x4, the model takes 1x8x8; use --image-size 8 --channels 1"
    ):
        check_fits(data, {"image": IMAGES["inputs"], "numbers": numbers}, anything, None)
    with pytest.raises(
        InputError, match="takes the inputs image, the data has image, numbers; choose with --in"
    ):
        check_fits(data, {"image": image}, anything, None)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (
            {"targets": TensorSpec(shape=(2,))},
            "targets are int64 scalar per sample, .* for float32 2; use other",
        ),
        (
            {"targets": TensorSpec(shape=(4,), dtype="int64")},
            "targets are scalar per sample, .* for 4; use other",
        ),
        (
            {"kind": TensorSpec(shape=(), dtype="int64")},
            "takes the targets kind, the data has targets; choose",
        ),
    ],
)
def test_targets_must_be_as_the_program_has_them(targets: dict[str, TensorSpec], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_fits(load_dataset(DataConfig()), IMAGES, anything, None, targets)


def test_inputs_must_be_of_the_right_kind() -> None:
    ids = {"inputs": InputSpec(shape=(1, 8, 8), dtype="int64")}
    with pytest.raises(InputError, match="samples are float32, the model takes int64"):
        check_fits(load_dataset(DataConfig()), ids, anything, None)


def test_known_classes_at_other_labels_are_refused() -> None:
    data = load_dataset(DataConfig())
    with pytest.raises(InputError, match="class '0' is label 0 in the data but 1 in the model"):
        check_fits(data, IMAGES, anything, list("1023456789"))
    check_fits(data, IMAGES, anything, [f"other{i}" for i in range(10)])


@pytest.mark.parametrize("bad", [-1, 5])
def test_ids_of_both_splits(bad: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each input has bounds of its own, and samples are read in pieces."""
    monkeypatch.setattr("edgetrain.data.checks._PIECE_BYTES", 3 * 2 * 8 * 2)
    words, places = torch.arange(20).view(10, 2) % 5, torch.arange(20).view(10, 2)
    split = TensorSplit({"words": words, "places": places}, {"targets": torch.zeros(10)})
    wrong = words.clone()
    wrong[7, 1] = bad
    bounds = {"words": (0, 4), "places": (0, 19)}
    data = replace(load_dataset(DataConfig()), train=split, test=split)
    check_ids(data, bounds)
    for where in ("train", "test"):
        other = TensorSplit({"words": wrong, "places": places}, {"targets": torch.zeros(10)})
        changes: dict[str, Any] = {where: other}
        message = f"^{where} sample 7 has the id {bad} in words, the program takes 0 to 4; use other data"
        with pytest.raises(InputError, match=message):
            check_ids(replace(data, **changes), bounds)
