"""Images beside masks that give every pixel its class: the other form of `image-folder`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..artifacts.specs import INPUTS, TARGETS
from ..config.data import DataConfig
from ..config.names import IGNORED_PIXEL
from ..errors import InputError
from ..reporting import Reporter
from .base import Indices, Source, Split, as_rows
from .decode import (
    SUFFIXES,
    ImageFormat,
    damaged_image,
    decode_images,
    decode_together,
    format_for,
    image_size_of,
    list_images,
    sound_files,
    sound_images,
)
from .images import resize_masks
from .subset import hold_out

_IMAGES, _MASKS, _CLASSES = "images", "masks", "classes.txt"
# What Pillow calls images whose pixels are numbers rather than colours: grey, by palette, black and white.
_LABEL_MODES = ("L", "P", "1")


@dataclass(frozen=True)
class Pair:
    """An image and its mask."""

    image: Path
    mask: Path


class MaskSplit(Split):
    """Images and masks that are decoded whenever they are asked for.

    Args:
        classes: how many there are.
    """

    def __init__(self, pairs: list[Pair], image_format: ImageFormat, classes: int) -> None:
        self._pairs = pairs
        self._format = image_format
        self._classes = classes

    def __len__(self) -> int:
        return len(self._pairs)

    def inputs(self, indices: Indices) -> dict[str, Tensor]:
        """See `Split.inputs`; uint8 [B, C, H, W].

        Raises:
            InputError: a file is damaged or has another size than the others.
        """
        chosen = [self._pairs[row].image for row in as_rows(indices).tolist()]
        return {INPUTS: decode_images(chosen, self._format)}

    def targets(self, indices: Indices) -> dict[str, Tensor]:
        """See `Split.targets`; int64 [B, H, W].

        Raises:
            InputError: a file is damaged, has another size than its image, or a label beyond the classes.
        """
        chosen = [self._pairs[row] for row in as_rows(indices).tolist()]
        masks = decode_together(chosen, self._decode, image_size_of(chosen[0].mask))
        return {TARGETS: masks.to(torch.int64)}

    def _decode(self, pair: Pair) -> Tensor:
        """One mask as uint8 [1, H, W]."""
        path, mask = pair.mask, decode_mask(pair.mask)
        if tuple(mask.shape[1:]) != image_size_of(pair.image):
            height, width = image_size_of(pair.image)
            raise InputError(
                f"{path} is {mask.shape[2]}x{mask.shape[1]} pixels, its image {pair.image.name} "
                f"{width}x{height}; a mask has one label for each pixel of its image"
            )
        bad = mask[(mask >= self._classes) & (mask != IGNORED_PIXEL)]
        if len(bad):
            raise InputError(
                f"{path} has the label {int(bad[0])}, but there are {self._classes} classes (labels 0 to "
                f"{self._classes - 1}, {IGNORED_PIXEL} for none); repair the mask or complete {_CLASSES}"
            )
        return mask if self._format.resize_to is None else resize_masks(mask, self._format.resize_to)


def has_masks(folder: Path) -> bool:
    """Whether a folder has masks beside its images rather than folders of classes."""
    return (folder / _IMAGES).is_dir() and (folder / _MASKS).is_dir()


def read_image_masks(
    config: DataConfig, root: Path, train_root: Path, test_root: Path | None, reporter: Reporter
) -> Source:
    """Finds images/NAME.* and masks/NAME.png in ROOT/train and ROOT/test, or in ROOT, of which a part is held
    out.

    The pixels of a mask are labels, 255 for none; ROOT/classes.txt may name the classes, one in a line.

    Raises:
        InputError: images or masks are missing or damaged, or don't fit together.
    """
    pairs = _sound_pairs(train_root, config, reporter)
    if test_root is None:
        train_rows, test_rows = hold_out(len(pairs), None, config.test_fraction, config.seed)
        if len(test_rows) == 0:
            raise InputError(
                f"{root}: too few images ({len(pairs)}) to hold some out for testing; give test images and "
                "masks in a folder 'test' beside 'train'"
            )
        train_pairs, test_pairs = ([pairs[i] for i in rows.tolist()] for rows in (train_rows, test_rows))
    elif has_masks(test_root):
        train_pairs, test_pairs = pairs, _sound_pairs(test_root, config, reporter)
    else:
        raise InputError(f"{test_root} lacks a folder '{_IMAGES}' or '{_MASKS}', which {train_root} has")
    image_format = format_for(config.channels, config.image_size, pairs[0].image)
    classes = _read_names(root / _CLASSES) or _count_classes([*train_pairs, *test_pairs], reporter)
    train, test = (MaskSplit(some, image_format, len(classes)) for some in (train_pairs, test_pairs))
    reporter.detail(
        f"{root}: {len(train)} training and {len(test)} test images with masks of {len(classes)} classes"
    )
    return Source(
        train=train,
        test=test,
        classes=classes,
        task="segmentation",
        ignored=IGNORED_PIXEL,
        measure=True,
        flips=True,
        crops=True,
    )


def _sound_pairs(folder: Path, config: DataConfig, reporter: Reporter) -> list[Pair]:
    """As `list_pairs`, without those of which a file is damaged where these are to be skipped; says which."""
    pairs = list_pairs(folder)
    if config.skip_corrupt:
        pairs = [pairs[row] for row in sound_images([pair.image for pair in pairs], reporter)]
        pairs = [pairs[row] for row in sound_files([p.mask for p in pairs], _read, "masks", reporter)]
        if not pairs:
            raise InputError(f"all images or masks in {folder} are damaged")
    return pairs


def list_pairs(folder: Path) -> list[Pair]:
    """Images with their masks, in alphabetical order.

    Raises:
        InputError: there are no images, or a mask is missing.
    """
    images = list_images(folder / _IMAGES)
    if not images:
        raise InputError(f"{folder / _IMAGES} holds no images ({', '.join(sorted(SUFFIXES))})")
    pairs = [Pair(image, folder / _MASKS / f"{image.stem}.png") for image in images]
    for pair in pairs:
        if not pair.mask.is_file():
            raise InputError(f"{pair.mask} is missing, the mask of {pair.image}")
    return pairs


def _read(path: Path) -> tuple[str, np.ndarray]:
    """A file's kind of pixels, and these.

    Raises:
        InputError: it is damaged.
    """
    try:
        with Image.open(path) as file:
            mode, pixels = file.mode, np.array(file)
    except Exception as error:  # a damaged file makes Pillow's decoders raise errors of all kinds
        raise damaged_image(path, error) from error
    return mode, pixels


def decode_mask(path: Path) -> Tensor:
    """One mask as uint8 [1, H, W].

    Raises:
        InputError: it is damaged, or its pixels are colours.
    """
    mode, pixels = _read(path)
    if mode not in _LABEL_MODES:
        raise InputError(
            f"{path} has pixels of the kind {mode}; a mask is an 8-bit grey or palette image of class numbers"
        )
    return torch.from_numpy(pixels.astype(np.uint8)).unsqueeze(0)


def _read_names(path: Path) -> list[str] | None:
    """The classes' names by label; None without such a file."""
    if not path.is_file():
        return None
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"can't read {path} ({error}); it holds one class name in a line") from error
    names = names[: max((i + 1 for i, name in enumerate(names) if name), default=0)]
    if not names or "" in names or len(set(names)) != len(names) or len(names) > IGNORED_PIXEL:
        raise InputError(
            f"{path} must hold 1 to {IGNORED_PIXEL} different class names, one in a line, that of label 0 "
            "first"
        )
    return names


def _count_classes(pairs: list[Pair], reporter: Reporter) -> list[str]:
    """As many classes as the labels in all masks say, called by their numbers."""
    largest = 0
    with reporter.progress("counting classes", total=len(pairs)) as progress:
        for pair in pairs:
            mask = decode_mask(pair.mask)
            labels = mask[mask != IGNORED_PIXEL]
            largest = max(largest, int(labels.max()) if labels.numel() else 0)
            progress.advance()
    return [str(label) for label in range(largest + 1)]
