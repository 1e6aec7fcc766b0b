"""`cifar10` without a network: a stand-in archive, a damaged folder, and the images as files."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from edgetrain.config.data import DataConfig
from edgetrain.data import load_dataset
from edgetrain.errors import InputError
from edgetrain.vision import import_torchvision


def stand_in(root: str, train: bool, download: bool) -> Any:
    print("Files already downloaded and verified")
    print("100%|####|", file=sys.stderr)
    assert download
    count = 20 if train else 10
    pixels = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    names = [f"class{i}" for i in range(10)]
    return SimpleNamespace(data=pixels, targets=[i % 10 for i in range(count)], classes=names)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> None:
    import_torchvision()
    from torchvision import datasets

    monkeypatch.setattr(datasets, "CIFAR10", stand_in)


@pytest.mark.usefixtures("archive")
def test_reads_channels_first_and_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = load_dataset(DataConfig(name="cifar10", root=tmp_path))
    assert (len(data.train), len(data.test), data.inputs["inputs"].shape) == (20, 10, (3, 32, 32))
    expected = stand_in("", True, True).data[4].transpose(2, 0, 1)
    capfd.readouterr()
    load_dataset(DataConfig(name="cifar10", root=tmp_path))
    assert capfd.readouterr() == ("", "")
    assert np.array_equal(data.train.inputs([4])["inputs"][0].numpy(), expected)
    assert data.preprocessing["inputs"].mean == (0.4914, 0.4822, 0.4465)
    assert (data.augmentation.flip, data.augmentation.crop_padding) == (True, 4)


@pytest.mark.usefixtures("archive")
def test_grey_has_its_own_constants(tmp_path: Path) -> None:
    data = load_dataset(DataConfig(name="cifar10", root=tmp_path, channels=1))
    assert data.inputs["inputs"].shape == (1, 32, 32)
    assert data.preprocessing["inputs"].mean == (0.4809,)


def test_failure_names_the_alternatives(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be made here")
    with pytest.raises(InputError) as caught:
        load_dataset(DataConfig(name="cifar10", root=blocked / "below"))
    assert "--data image-folder --data-dir DIR" in str(caught.value)
    assert "--data digits" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_download_leaves_no_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import_torchvision()
    from torchvision import datasets

    def offline(root: str, train: bool, download: bool) -> Any:
        Path(root).mkdir()
        raise OSError("Name or service not known\nand more")

    monkeypatch.setattr(datasets, "CIFAR10", offline)
    with pytest.raises(InputError, match=r"\(Name or service not known\); use --data image-folder"):
        load_dataset(DataConfig(name="cifar10", root=tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.cifar
def test_the_images_as_files() -> None:
    root = Path(os.environ.get("EDGETRAIN_CIFAR10", "build/cifar10"))
    if not root.is_dir():
        pytest.skip(f"{root} is absent")
    data = load_dataset(
        DataConfig(name="image-folder", root=root, images_per_class=20, test_images_per_class=10)
    )
    assert data.inputs["inputs"].shape == (3, 32, 32)
    assert torch.bincount(data.train.labels).tolist() == [20] * 10
    assert torch.bincount(data.test.labels).tolist() == [10] * 10
    assert data.classes is not None
    assert data.classes[3] == "cat"
    # Measured on 2,000 images, close to the constants of all 50,000.
    torch.testing.assert_close(
        torch.tensor(data.preprocessing["inputs"].mean),
        torch.tensor([0.4914, 0.4822, 0.4465]),
        atol=0.01,
        rtol=0,
    )
    assert (data.augmentation.flip, data.augmentation.crop_padding) == (True, 4)
