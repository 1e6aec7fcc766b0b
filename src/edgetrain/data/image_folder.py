"""`image-folder`: one's own images, one folder per class, or beside masks with a class for every pixel."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..artifacts.specs import INPUTS, TARGETS
from ..config.data import DataConfig
from ..errors import InputError, UsageError
from ..reporting import Reporter
from .base import Indices, Source, Split, as_rows
from .decode import SUFFIXES, ImageFormat, decode_images, format_for, list_images, sound_images
from .folders import split_folders, visible_folders
from .image_masks import has_masks, read_image_masks
from .subset import hold_out


class FolderSplit(Split):
    """Images that are decoded whenever they are asked for.

    Args:
        paths: N files.
        labels: int64 [N].
    """

    def __init__(self, paths: list[Path], labels: Tensor, image_format: ImageFormat) -> None:
        self._paths = paths
        self._labels = labels
        self._format = image_format

    def __len__(self) -> int:
        return len(self._paths)

    def inputs(self, indices: Indices) -> dict[str, Tensor]:
        """See `Split.inputs`; uint8 [B, C, H, W].

        Raises:
            InputError: a file is damaged or has another size than the others.
        """
        return {INPUTS: decode_images([self._paths[row] for row in as_rows(indices).tolist()], self._format)}

    def targets(self, indices: Indices) -> dict[str, Tensor]:
        return {TARGETS: self._labels[as_rows(indices)]}

    @property
    def labels(self) -> Tensor:
        return self._labels


def read_image_folder(config: DataConfig, reporter: Reporter) -> Source:
    """Finds images in ROOT/train/CLASS/ and ROOT/test/CLASS/ (or val/, validation/).

    Without a test folder, a stratified part of the training images is held out; without a train folder
    either, the classes are the folders in ROOT itself. Two folders `images` and `masks` in place of classes
    are read by `read_image_masks`.

    Raises:
        UsageError: no folder is given.
        InputError: the folder is missing, or lacks images, or its splits have different classes.
    """
    root = config.root
    if root is None:
        raise UsageError(
            "--data image-folder needs --data-dir DIR, a folder with one folder of images per class, or with "
            "the folders images and masks"
        )
    if not root.is_dir():
        raise InputError(f"{root} does not exist or is no folder; --data-dir names a folder of images")
    train_root, test_root = _split_roots(root)
    if has_masks(train_root):
        return read_image_masks(config, root, train_root, test_root, reporter)
    files, labels, classes = _listed(train_root, config, reporter)
    image_format = format_for(config.channels, config.image_size, files[0])
    if test_root is None:
        train_rows, test_rows = _hold_out(labels, config)
        train = FolderSplit([files[i] for i in train_rows.tolist()], labels[train_rows], image_format)
        test = FolderSplit([files[i] for i in test_rows.tolist()], labels[test_rows], image_format)
    else:
        test_files, test_labels, test_classes = _listed(test_root, config, reporter)
        _check_same_classes(train_root, classes, test_root, test_classes)
        train = FolderSplit(files, labels, image_format)
        test = FolderSplit(test_files, test_labels, image_format)
    reporter.detail(f"{root}: {len(train)} training and {len(test)} test images of {len(classes)} classes")
    return Source(train=train, test=test, classes=classes, measure=True, flips=True, crops=True)


def _hold_out(labels: Tensor, config: DataConfig) -> tuple[Tensor, Tensor]:
    train, test = hold_out(len(labels), labels, config.test_fraction, config.seed)
    if len(test) == 0:
        raise InputError(
            f"{config.root}: too few images ({len(labels)}) to hold some out for testing; "
            "give test images in a folder 'test' beside 'train'"
        )
    return train, test


def _split_roots(root: Path) -> tuple[Path, Path | None]:
    train, test = split_folders(root)
    if train is not None:
        return train, test
    if test is not None and visible_folders(test):
        raise InputError(f"{root} has a folder '{test.name}' but none named 'train'")
    return root, None


def _listed(folder: Path, config: DataConfig, reporter: Reporter) -> tuple[list[Path], Tensor, list[str]]:
    """As `list_classes`, without damaged images where these are to be skipped; says which."""
    files, labels, classes = list_classes(folder)
    if not config.skip_corrupt:
        return files, labels, classes
    sound = sound_images(files, reporter)
    kept = labels[sound]
    for label, name in enumerate(classes):
        if not (kept == label).any():
            raise InputError(f"all images in {folder / name} are damaged")
    return [files[i] for i in sound], kept, classes


def list_classes(folder: Path) -> tuple[list[Path], Tensor, list[str]]:
    """Finds the images of each class; hidden files and files of other kinds are passed over.

    Returns:
        files, their labels (int64 [N]), and the class names, all in alphabetical order.
    Raises:
        InputError: there is no class folder, or one without images.
    """
    classes = visible_folders(folder)
    if not classes:
        raise InputError(
            f"{folder} has no class folders; images belong in {folder}/CLASS/, or in {folder}/images/ beside "
            f"{folder}/masks/"
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = list_images(folder / name)
        if not found:
            raise InputError(f"class folder {folder / name} holds no images ({', '.join(sorted(SUFFIXES))})")
        files += found
        labels += [label] * len(found)
    return files, torch.tensor(labels, dtype=torch.int64), classes


def _check_same_classes(train: Path, train_classes: list[str], test: Path, test_classes: list[str]) -> None:
    for here, others, there in (
        (train, set(train_classes) - set(test_classes), test),
        (test, set(test_classes) - set(train_classes), train),
    ):
        if others:
            names = ", ".join(sorted(others)[:5])
            raise InputError(f"classes of {here} are missing in {there}: {names}")
