"""`image-folder`: one's own images, one folder per class."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..config.data import DataConfig
from ..errors import InputError, UsageError
from ..reporting import Reporter
from .base import Indices, Source, Split, as_rows
from .decode import SUFFIXES, ImageFormat, decode_images, image_size_of
from .subset import hold_out

_TEST_FOLDERS = ("test", "val", "validation")


class FolderSplit(Split):
    """Images that are decoded whenever they are asked for.

    Args:
        paths: N files.
        targets: int64 [N].
    """

    def __init__(self, paths: list[Path], targets: Tensor, image_format: ImageFormat) -> None:
        self._paths = paths
        self._format = image_format
        self.targets = targets

    def inputs(self, indices: Indices) -> Tensor:
        """See `Split.inputs`; uint8 [B, C, H, W].

        Raises:
            InputError: a file is damaged or has another size than the others.
        """
        return decode_images([self._paths[row] for row in as_rows(indices).tolist()], self._format)


def read_image_folder(config: DataConfig, reporter: Reporter) -> Source:
    """Finds images in ROOT/train/CLASS/ and ROOT/test/CLASS/ (or val/, validation/).

    Without a test folder, a stratified part of the training images is held out; without a train folder
    either, the classes are the folders in ROOT itself.

    Raises:
        UsageError: no folder is given.
        InputError: the folder is missing, or lacks images, or its splits have different classes.
    """
    if config.root is None:
        raise UsageError(
            "--data image-folder needs --data-dir DIR, a folder with one folder of images per class"
        )
    if not config.root.is_dir():
        raise InputError(f"{config.root} does not exist or is no folder; --data-dir names a folder of images")
    train_root, test_root = _split_folders(config.root)
    files, targets, classes = list_images(train_root)
    image_format = ImageFormat(config.channels or 3, config.image_size, _natural_size(config, files))
    if test_root is None:
        train_rows, test_rows = _hold_out(targets, config)
        train = FolderSplit([files[i] for i in train_rows.tolist()], targets[train_rows], image_format)
        test = FolderSplit([files[i] for i in test_rows.tolist()], targets[test_rows], image_format)
    else:
        test_files, test_targets, test_classes = list_images(test_root)
        _check_same_classes(train_root, classes, test_root, test_classes)
        train = FolderSplit(files, targets, image_format)
        test = FolderSplit(test_files, test_targets, image_format)
    reporter.detail(
        f"{config.root}: {len(train)} training and {len(test)} test images of {len(classes)} classes"
    )
    return Source(train=train, test=test, classes=classes, measure=True, flips=True, crops=True)


def _natural_size(config: DataConfig, files: list[Path]) -> tuple[int, int] | None:
    """Height and width every image must have, where they aren't resized."""
    return None if config.image_size is not None else image_size_of(files[0])


def _hold_out(targets: Tensor, config: DataConfig) -> tuple[Tensor, Tensor]:
    train, test = hold_out(targets, config.test_fraction, config.seed)
    if len(test) == 0:
        raise InputError(
            f"{config.root}: too few images ({len(targets)}) to hold some out for testing; "
            "give test images in a folder 'test' beside 'train'"
        )
    return train, test


def _split_folders(root: Path) -> tuple[Path, Path | None]:
    test = next((root / name for name in _TEST_FOLDERS if (root / name).is_dir()), None)
    if (root / "train").is_dir():
        return root / "train", test
    if test is not None and _folders(test):
        raise InputError(f"{root} has a folder '{test.name}' but none named 'train'")
    return root, None


def list_images(folder: Path) -> tuple[list[Path], Tensor, list[str]]:
    """Finds the images of each class; hidden files and files of other kinds are passed over.

    Returns:
        files, their labels (int64 [N]), and the class names, all in alphabetical order.
    Raises:
        InputError: there is no class folder, or one without images.
    """
    classes = _folders(folder)
    if not classes:
        raise InputError(f"{folder} has no class folders; images belong in {folder}/CLASS/")
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in (folder / name).iterdir() if _is_image_file(path))
        if not found:
            raise InputError(f"class folder {folder / name} holds no images ({', '.join(sorted(SUFFIXES))})")
        files += found
        labels += [label] * len(found)
    return files, torch.tensor(labels, dtype=torch.int64), classes


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _is_image_file(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _check_same_classes(train: Path, train_classes: list[str], test: Path, test_classes: list[str]) -> None:
    for here, others, there in (
        (train, set(train_classes) - set(test_classes), test),
        (test, set(test_classes) - set(train_classes), train),
    ):
        if others:
            names = ", ".join(sorted(others)[:5])
            raise InputError(f"classes of {here} are missing in {there}: {names}")
