"""`image-folder` with masks: images and labels in every layout, and what is wrong with the bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgetrain.config.data import DataConfig
from edgetrain.data import BatchLoader, Dataset, load_dataset, prepared
from edgetrain.data.image_masks import MaskSplit
from edgetrain.errors import ConfigError, InputError

SIZE = (8, 6)  # width and height
LABELS = np.random.default_rng(0).integers(0, 3, (6, SIZE[1], SIZE[0]), dtype=np.uint8)


def put(folder: Path, name: str, labels: np.ndarray, image_suffix: str = ".png") -> None:
    """An image whose grey is 100 times the label, and the mask."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack([labels % 3 * 100] * 3, 2)).save(folder / "images" / f"{name}{image_suffix}")
    Image.fromarray(labels).save(folder / "masks" / f"{name}.png")


def fill(folder: Path, count: int = 6) -> Path:
    for i in range(count):
        put(folder, str(i), LABELS[i])
    return folder


def load(root: Path, **options: Any) -> Dataset:
    return load_dataset(DataConfig(name="image-folder", root=root, **options))


def masks(dataset: Dataset, split: str = "train") -> torch.Tensor:
    part = getattr(dataset, split)
    return part.targets(range(len(part)))["targets"]


@pytest.mark.parametrize("test", ["test", "validation"])
def test_reads_both_splits(tmp_path: Path, test: str) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / test, 2)
    data = load(tmp_path)
    assert (len(data.train), len(data.test)) == (6, 2)
    assert (data.task, data.ignored, data.classes) == ("segmentation", 255, ["0", "1", "2"])
    assert (data.inputs["inputs"].shape, data.targets["targets"].shape) == ((3, 6, 8), (6, 8))
    assert torch.equal(masks(data), torch.from_numpy(LABELS).to(torch.int64))
    images = data.train.inputs(range(6))["inputs"]
    assert torch.equal(images[:, 0].to(torch.int64), masks(data) * 100)
    assert (data.augmentation.flip, data.augmentation.masks) == (True, {"targets": 255})


def test_holds_out_a_part_where_there_is_no_test_folder(tmp_path: Path) -> None:
    data = load(fill(tmp_path), test_fraction=0.3)
    assert (len(data.train), len(data.test)) == (4, 2)
    found = {mask.numpy().tobytes() for split in ("train", "test") for mask in masks(data, split)}
    assert found == {labels.astype(np.int64).tobytes() for labels in LABELS}
    assert len(load(fill(tmp_path / "again" / "train").parent, test_fraction=0.3).test) == 2


def test_images_and_masks_move_and_turn_together(tmp_path: Path) -> None:
    fill(tmp_path)
    for options in ({}, {"shift": ["rotate:90"]}, {"image_size": 24}):
        data = load(tmp_path, crop_padding=2, **options)  # type: ignore[arg-type]
        loader = BatchLoader(
            data.train, {"inputs": _plain(data)}, 2, shuffle=True, augmentation=data.augmentation
        )
        for batch in loader.epoch(0):
            image, labels = batch.inputs["inputs"][:, 0], batch.targets["targets"]
            expected = torch.where(labels == 255, 0, labels * 100)
            # An enlarged image has other greys at the borders of its areas.
            assert float((image == expected).float().mean()) > (0.3 if "image_size" in options else 0.99)


def _plain(data: Dataset) -> Any:
    return type(data.inputs["inputs"].preprocessing)()


def test_resized_masks_keep_their_labels(tmp_path: Path) -> None:
    data = load(fill(tmp_path), image_size=3)
    assert (data.inputs["inputs"].shape, data.targets["targets"].shape) == ((3, 3, 3), (3, 3))
    assert set(masks(data).unique().tolist()) <= {0, 1, 2}
    put(tmp_path, "larger", np.zeros((20, 11), dtype=np.uint8))
    assert len(load(tmp_path, image_size=3).train) == 5
    with pytest.raises(InputError, match="use --image-size N"):
        load(tmp_path)


def test_palette_and_ignored_pixels(tmp_path: Path) -> None:
    fill(tmp_path)
    labels = LABELS[0].copy()
    labels[0] = 255
    image = Image.fromarray(labels, mode="P")
    image.putpalette([i % 251 for i in range(768)])
    image.save(tmp_path / "masks" / "0.png")
    data = load(tmp_path, test_fraction=0.01)
    assert data.classes == ["0", "1", "2"]
    assert 255 in masks(data).unique().tolist() + masks(data, "test").unique().tolist()


def test_two_colours(tmp_path: Path) -> None:
    for i in range(4):
        put(tmp_path, str(i), LABELS[i] % 2)
        Image.fromarray(LABELS[i] % 2 == 1).save(tmp_path / "masks" / f"{i}.png")
    assert masks(load(tmp_path)).unique().tolist() == [0, 1]


def test_a_task_that_ignores_another_label(tmp_path: Path) -> None:
    data = load(fill(tmp_path), crop_padding=1)
    assert data.augmentation.masks == {"targets": 255}
    assert data.ignoring(7).augmentation.masks == {"targets": 7}


def test_names_of_classes(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "classes.txt").write_text("sky\nearth \nsea\nfire\n\n")
    data = load(tmp_path)
    assert data.classes == ["sky", "earth", "sea", "fire"]
    for text in ("", "a\n\nb", "a\na\n", "\n".join(map(str, range(300)))):
        (tmp_path / "classes.txt").write_text(text)
        with pytest.raises(InputError, match=r"classes\.txt must hold 1 to 255 different class names"):
            load(tmp_path)
    (tmp_path / "classes.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"can't read .*classes\.txt"):
        load(tmp_path)


def test_lazily_decoded_samples_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    held = load(tmp_path, shift=["rotate:20"])
    monkeypatch.setattr(prepared, "MEMORY_LIMIT", 10)
    lazy = load(tmp_path, shift=["rotate:20"])
    assert isinstance(lazy.train, prepared.PreparedSplit)
    assert torch.equal(masks(held), masks(lazy))
    assert 255 in masks(held).unique().tolist()


def test_with_names_masks_are_decoded_when_they_are_asked_for(tmp_path: Path, monkeypatch: Any) -> None:
    from edgetrain.data import image_masks

    fill(tmp_path)
    decoded: list[Path] = []
    decode = image_masks.decode_mask
    monkeypatch.setattr(image_masks, "decode_mask", lambda path: decoded.append(path) or decode(path))
    data = load_dataset(DataConfig(name="image-folder", root=tmp_path), in_memory=False)
    assert len(set(decoded)) == 6  # counted
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    data = load_dataset(DataConfig(name="image-folder", root=tmp_path), in_memory=False)
    decoded.clear()
    data.train.inputs([1])
    assert decoded == []
    data.train.targets([1])
    assert len(decoded) == 1


def test_large_masks_are_decoded_by_threads_in_order(tmp_path: Path) -> None:
    for i in range(9):
        put(tmp_path, str(i), np.full((150, 200), i, dtype=np.uint8))
    data = load(tmp_path, mean=[0.5], std=[0.5])
    values = masks(data)[:, 0, 0].tolist()
    assert values == sorted(values)
    assert sorted(values + masks(data, "test")[:, 0, 0].tolist()) == list(range(9))


def _remove(folder: Path) -> None:
    (folder / "masks" / "3.png").unlink()


def _shrink(folder: Path) -> None:
    Image.fromarray(LABELS[3][:4]).save(folder / "masks" / "3.png")


def _recolour(folder: Path) -> None:
    Image.fromarray(np.zeros((6, 8, 3), dtype=np.uint8)).save(folder / "masks" / "3.png")


def _cut(folder: Path) -> None:
    path = folder / "masks" / "3.png"
    path.write_bytes(path.read_bytes()[:40])


def _mislabel(folder: Path) -> None:
    (folder / "classes.txt").write_text("a\nb\n")
    for i in range(6):
        Image.fromarray(LABELS[i] % 2 + 7 * (i == 3)).save(folder / "masks" / f"{i}.png")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_remove, r"masks/3\.png is missing, the mask of .*images/3\.png"),
        (_shrink, r"masks/3\.png is 8x4 pixels, its image 3\.png 8x6"),
        (_recolour, r"masks/3\.png has pixels of the kind RGB; a mask is an 8-bit grey or palette image"),
        (_cut, r"masks/3\.png is damaged"),
        (
            _mislabel,
            r"masks/3\.png has the label [78], but there are 2 classes \(labels 0 to 1, 255 for none\)",
        ),
    ],
)
def test_bad_masks_are_named(tmp_path: Path, damage: Any, message: str) -> None:
    damage(fill(tmp_path))
    with pytest.raises(InputError, match=message):
        load(tmp_path)


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_a_mask_that_vanishes_is_gone_not_damaged(tmp_path: Path) -> None:
    config = {"name": "image-folder", "root": fill(tmp_path), "mean": [0.5], "std": [0.5]}
    data = load_dataset(DataConfig.model_validate(config), in_memory=False)
    for path in (tmp_path / "masks").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"masks/\d\.png is gone, which was there"):
        data.train.targets([0])


def test_damaged_pairs_can_be_left_out(tmp_path: Path, listener: Any) -> None:
    root, heard = fill(tmp_path), listener()
    (root / "masks" / "3.png").write_bytes((root / "masks" / "3.png").read_bytes()[:40])
    (root / "images" / "5.png").write_text("no image")
    config = DataConfig.model_validate({"name": "image-folder", "root": root, "skip_corrupt": True})
    data = load_dataset(config, reporter=heard)
    assert len(data.train) + len(data.test) == 4
    assert f"1 of 6 images are damaged and left out: {root}/images/5.png" in heard.messages
    assert f"1 of 5 masks are damaged and left out: {root}/masks/3.png" in heard.messages
    for path in (root / "masks").iterdir():
        path.write_text("no image")
    with pytest.raises(InputError, match=r"all images or masks in .* are damaged"):
        load_dataset(config)


def test_wrong_folders(tmp_path: Path) -> None:
    fill(tmp_path / "train")
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match="test lacks a folder 'images' or 'masks', which"):
        load(tmp_path)
    for path in (tmp_path / "train" / "images").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="images holds no images"):
        load(tmp_path)
    fill(tmp_path / "one", 1)
    with pytest.raises(InputError, match="too few images"):
        load(tmp_path / "one")


def test_options_for_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(fill(tmp_path), images_per_class=1, shift=["classes:1"])
    assert len(caught.value.problems) == 2
    assert "one class label per sample" in caught.value.problems[0]


def test_several_images_may_share_a_name(tmp_path: Path) -> None:
    fill(tmp_path)
    put(tmp_path, "0", LABELS[0], ".bmp")
    data = load(tmp_path)
    assert len(data.train) + len(data.test) == 7
    assert not isinstance(data.train, MaskSplit)
