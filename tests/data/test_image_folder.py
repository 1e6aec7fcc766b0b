"""`image-folder`: real image files in every layout, and what is wrong with the bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgetrain.artifacts.specs import InputSpec
from edgetrain.config.data import DataConfig
from edgetrain.data import BatchLoader, Dataset, load_dataset, prepared
from edgetrain.data.image_folder import FolderSplit
from edgetrain.errors import ConfigError, InputError, UsageError

COLOURS = {"cat": (200, 10, 30), "dog": (20, 180, 60)}


def paint(path: Path, colour: Any, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def fill(root: Path, count: int = 5, suffix: str = ".png") -> Path:
    for name, colour in COLOURS.items():
        for i in range(count):
            paint(root / name / f"{i}{suffix}", (*colour[:2], colour[2] + i))
    return root


def split_folder(root: Path, test: str = "test") -> Path:
    fill(root / "train", 5)
    fill(root / test, 2)
    return root


def load(root: Path, **options: Any) -> Dataset:
    return load_dataset(DataConfig(name="image-folder", root=root, **options))


def every_input(dataset: Dataset, split: str = "train") -> torch.Tensor:
    part = getattr(dataset, split)
    return part.inputs(range(len(part)))["inputs"]


@pytest.mark.parametrize("test", ["test", "val", "validation"])
def test_reads_both_splits(tmp_path: Path, test: str) -> None:
    data = load(split_folder(tmp_path, test))
    assert data.classes == ["cat", "dog"]
    assert data.train.labels.tolist() == [0] * 5 + [1] * 5
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert data.inputs["inputs"].shape == (3, 6, 8)
    assert data.train.inputs([2, 9])["inputs"][:, :, 3, 3].tolist() == [[200, 10, 32], [20, 180, 64]]
    assert (data.augmentation.flip, data.augmentation.crop_padding) == (True, 1)


@pytest.mark.parametrize("below", ["", "train"])
def test_holds_out_a_part_where_there_is_no_test_folder(tmp_path: Path, below: str) -> None:
    fill(tmp_path / below, 5)
    data = load(tmp_path)
    assert torch.bincount(data.train.labels).tolist() == [4, 4]
    assert torch.bincount(data.test.labels).tolist() == [1, 1]
    seen = torch.cat([every_input(data), every_input(data, "test")])[:, 2, 0, 0]
    assert sorted(seen.tolist()) == [30, 31, 32, 33, 34, 60, 61, 62, 63, 64]
    assert torch.equal(every_input(load(tmp_path)), every_input(data))


def test_hidden_files_and_other_files_are_passed_over(tmp_path: Path) -> None:
    split_folder(tmp_path)
    (tmp_path / "train" / ".cache").mkdir()
    (tmp_path / "train" / "cat" / ".hidden.png").write_bytes(b"junk")
    (tmp_path / "train" / "cat" / "notes.txt").write_text("junk")
    assert len(load(tmp_path).train) == 10


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".ppm", ".tif"])
def test_file_types(tmp_path: Path, suffix: str) -> None:
    fill(tmp_path, 2, suffix)
    pixel = load(tmp_path, test_fraction=0.5).train.inputs([0])["inputs"][0, :, 2, 2].tolist()
    assert pixel == pytest.approx([200, 10, 30], abs=6)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [("L", 77, 77), ("RGBA", (50, 50, 50, 128), 50), ("I;16", 77 * 256, 77), ("1", 1, 255), ("P", 0, 0)],
)
def test_pixel_modes_become_bytes(tmp_path: Path, mode: str, colour: Any, expected: int) -> None:
    for i in range(2):
        paint(tmp_path / "only" / f"{i}.png", colour, mode=mode)
    data = load(tmp_path, test_fraction=0.5)
    assert data.inputs["inputs"].shape == (3, 6, 8)
    assert data.train.inputs([0])["inputs"].unique().tolist() == [expected]
    assert load(tmp_path, test_fraction=0.5, channels=1).inputs["inputs"].shape == (1, 6, 8)


def test_sizes_must_match_or_be_made_to(tmp_path: Path) -> None:
    split_folder(tmp_path)
    paint(tmp_path / "train" / "dog" / "wide.png", (1, 2, 3), size=(9, 6))
    with pytest.raises(InputError, match=r"wide\.png is 9x6 pixels, the first image 8x6; use --image-size"):
        load(tmp_path)
    data = load(tmp_path, image_size=4, channels=1)
    assert data.inputs["inputs"].shape == (1, 4, 4)
    assert data.train.inputs([10])["inputs"][0, 0].unique().tolist() == [2]


def test_normalisation_is_measured_per_channel_on_unshifted_training_images(tmp_path: Path) -> None:
    split_folder(tmp_path)
    data = load(tmp_path)
    pixels = every_input(data).double() / 255
    assert data.preprocessing["inputs"].mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert data.preprocessing["inputs"].std == pytest.approx(
        pixels.std((0, 2, 3), correction=0).tolist(), abs=1e-6
    )
    assert load(tmp_path, shift=["invert"], images_per_class=1).preprocessing == data.preprocessing


def test_a_constant_channel_is_not_divided_by_zero(tmp_path: Path) -> None:
    for i in range(4):
        paint(tmp_path / "only" / f"{i}.png", (10, 20, 30))
    assert load(tmp_path).preprocessing["inputs"].std == (1.0, 1.0, 1.0)


def test_lazily_decoded_samples_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split_folder(tmp_path)
    options: dict[str, Any] = {"shift": ["rotate:90", "noise:0.1", "classes:dog"], "image_size": 5}
    held = load(tmp_path, **options)
    monkeypatch.setattr(prepared, "MEMORY_LIMIT", 10)
    lazy = load(tmp_path, **options)
    assert isinstance(lazy.train, prepared.PreparedSplit)
    assert not isinstance(held.train, prepared.PreparedSplit)
    assert torch.equal(every_input(held), every_input(lazy))
    for one, other in zip(*(_batches(data) for data in (held, lazy)), strict=True):
        assert torch.equal(one, other)


def _batches(data: Dataset) -> list[torch.Tensor]:
    loader = BatchLoader(data.train, data.preprocessing, 2, shuffle=True, augmentation=data.augmentation)
    return [batch.inputs["inputs"] for batch in loader.epoch(0)]


def test_only_the_images_in_use_and_those_measured_are_decoded(tmp_path: Path, monkeypatch: Any) -> None:
    split_folder(tmp_path)
    decoded: list[int] = []
    original = FolderSplit.inputs

    def counting(self: FolderSplit, indices: Any) -> dict[str, torch.Tensor]:
        decoded.append(len(indices))
        return original(self, indices)

    monkeypatch.setattr(FolderSplit, "inputs", counting)
    load(tmp_path, mean=[0.5], std=[0.5], images_per_class=1, test_images_per_class=1)
    assert max(decoded) == 2
    decoded.clear()
    load_dataset(
        DataConfig(name="image-folder", root=tmp_path, images_per_class=1, test_images_per_class=1),
        program={"inputs": InputSpec(shape=(3, 6, 8))},
    )
    assert max(decoded) == 2


def test_large_images_are_decoded_by_threads_in_order(tmp_path: Path) -> None:
    for i in range(9):
        paint(tmp_path / "only" / f"{i}.png", (i, i, i), size=(200, 150))
    data = load(tmp_path, mean=[0.5], std=[0.5])
    values = every_input(data)[:, 0, 0, 0].tolist() + every_input(data, "test")[:, 0, 0, 0].tolist()
    assert sorted(values) == list(range(9))
    assert every_input(data)[:, 0, 0, 0].tolist() == sorted(every_input(data)[:, 0, 0, 0].tolist())


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    fill(tmp_path, 4, ".jpg")
    rng = np.random.default_rng(0)
    bad = tmp_path / "dog" / "bad.jpg"
    Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).save(bad)
    bad.write_bytes(bad.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"dog/bad\.jpg is damaged"):
        load(tmp_path)
    (tmp_path / "cat" / "0.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"cat/0\.jpg is damaged"):
        load(tmp_path)


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_an_image_that_vanishes_is_gone_not_damaged(tmp_path: Path) -> None:
    data = load_dataset(
        DataConfig(name="image-folder", root=fill(tmp_path), mean=[0.5], std=[0.5]), in_memory=False
    )
    for name in COLOURS:
        for path in (tmp_path / name).iterdir():
            path.unlink()
    with pytest.raises(InputError, match=r"\.png is gone, which was there .*; put it back") as caught:
        data.train.inputs([0])
    assert "corrupt" not in str(caught.value)


def test_damaged_images_can_be_left_out(tmp_path: Path, listener: Any) -> None:
    root = fill(tmp_path)
    (root / "cat" / "3.png").write_bytes((root / "cat" / "3.png").read_bytes()[:40])
    (root / "dog" / "0.png").write_text("no image")
    heard = listener()
    config = DataConfig(name="image-folder", root=root, skip_corrupt=True)
    data = load_dataset(config, reporter=heard)
    assert len(data.train) + len(data.test) == 8
    assert len(every_input(data)) == len(data.train)
    warned = f"2 of 10 images are damaged and left out: {root}/cat/3.png, {root}/dog/0.png"
    assert warned in heard.messages
    for path in (root / "cat").iterdir():
        path.write_text("no image")
    with pytest.raises(InputError, match=r"all images in .*cat are damaged"):
        load_dataset(config)


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs --data-dir DIR"):
        load_dataset(DataConfig(name="image-folder"))
    with pytest.raises(InputError, match="does not exist"):
        load(tmp_path / "none")
    with pytest.raises(InputError, match="no class folders"):
        load(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(InputError, match="cat holds no images"):
        load(tmp_path)


def test_splits_must_have_the_same_classes(tmp_path: Path) -> None:
    split_folder(tmp_path)
    paint(tmp_path / "test" / "horse" / "0.png", (1, 2, 3))
    with pytest.raises(InputError, match=r"classes of .*test are missing in .*train: horse"):
        load(tmp_path)


def test_a_test_folder_needs_a_train_folder(tmp_path: Path) -> None:
    fill(tmp_path / "test", 2)
    with pytest.raises(InputError, match="has a folder 'test' but none named 'train'"):
        load(tmp_path)


def test_one_image_cant_be_held_out(tmp_path: Path) -> None:
    paint(tmp_path / "only" / "0.png", (1, 2, 3))
    with pytest.raises(InputError, match="too few images"):
        load(tmp_path)


def test_classes_by_name_with_a_suggestion(tmp_path: Path) -> None:
    split_folder(tmp_path)
    assert load(tmp_path, shift=["classes:dog"]).train.labels.tolist() == [1] * 5
    with pytest.raises(ConfigError, match="'dogg' is no class; did you mean 'dog'"):
        load(tmp_path, shift=["classes:dogg"])
