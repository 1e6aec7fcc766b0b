"""Image files to bytes, several at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import InputError
from ..reporting import Reporter
from .folders import is_hidden
from .images import resize

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff"})

File = TypeVar("File")

# Damaged files that are named.
_NAMED = 10
# Pixels of an image from which on decoding, done outside Python's lock, outweighs what needs the lock.
_WORTH_THREADS = 128 * 128


@dataclass(frozen=True)
class ImageFormat:
    """The form all images of a data set are brought into.

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        resize_to: height and width after resizing; None where images stay as they are.
        required: (height, width) each image must have, where it isn't resized.
    """

    channels: int
    resize_to: int | None = None
    required: tuple[int, int] | None = None


def format_for(channels: int | None, size: int | None, first: Path) -> ImageFormat:
    """The form of a data set's images: RGB and as large as the first one, where nothing else is wanted."""
    return ImageFormat(channels or 3, size, None if size is not None else image_size_of(first))


def list_images(folder: Path) -> list[Path]:
    """The image files in a folder, in alphabetical order; hidden and other files are passed over."""
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not is_hidden(path)
    )


def decode_images(paths: list[Path], image_format: ImageFormat) -> Tensor:
    """Decodes B files, large ones with as many threads as there are cores.

    Returns:
        uint8 [B, channels, H, W].
    Raises:
        InputError: a file is damaged or has another size than the others.
    """
    return decode_together(paths, lambda path: _decode(path, image_format), image_size_of(paths[0]))


def decode_together(files: list[File], decode: Callable[[File], Tensor], size: tuple[int, int]) -> Tensor:
    """Decodes B files of [1, ...] each to [B, ...], large ones with as many threads as there are cores.

    Args:
        size: height and width of the first.
    """

    def all_of(piece: list[File]) -> Tensor:
        return torch.cat([decode(file) for file in piece])

    workers = min(len(files), os.cpu_count() or 1, 8)
    if workers <= 1 or math.prod(size) < _WORTH_THREADS:
        return all_of(files)
    pieces = [files[i * len(files) // workers : (i + 1) * len(files) // workers] for i in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        return torch.cat(list(pool.map(all_of, pieces)))


def sound_images(paths: list[Path], reporter: Reporter) -> list[int]:
    """Positions of the files that can be decoded; every one is read for it. Says which of them can't."""
    return sound_files(paths, lambda path: _decode(path, ImageFormat(channels=3)), "images", reporter)


def sound_files(
    paths: list[Path], read: Callable[[Path], object], what: str, reporter: Reporter
) -> list[int]:
    """Positions of the files for which `read` raises no `InputError`. Says which are left out.

    Args:
        what: they are, as in "images".
    """

    def is_sound(path: Path) -> bool:
        try:
            read(path)
        except InputError:
            return False
        return True

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        sound = [row for row, good in enumerate(pool.map(is_sound, paths)) if good]
    damaged = sorted({*paths} - {paths[row] for row in sound})
    if damaged:
        named = ", ".join(map(str, damaged[:_NAMED]))
        more = f" and {len(damaged) - _NAMED} more" if len(damaged) > _NAMED else ""
        reporter.warn(f"{len(damaged)} of {len(paths)} {what} are damaged and left out: {named}{more}")
    return sound


def _decode(path: Path, image_format: ImageFormat) -> Tensor:
    """One file as uint8 [1, channels, H, W]."""
    try:
        with Image.open(path) as file:
            image = _convert(file, image_format.channels)
    except InputError:
        raise
    except Exception as error:  # a damaged file makes Pillow's decoders raise errors of all kinds
        raise damaged_image(path, error) from error
    shape = (1, image.height, image.width, image_format.channels)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(shape).permute(0, 3, 1, 2)
    if image_format.required not in (None, (image.height, image.width)):
        height, width = image_format.required or (0, 0)
        raise InputError(
            f"{path} is {image.width}x{image.height} pixels, the first image {width}x{height}; "
            "use --image-size N to bring all to one size"
        )
    return pixels if image_format.resize_to is None else resize(pixels.contiguous(), image_format.resize_to)


def _convert(image: Image.Image, channels: int) -> Image.Image:
    """To 8-bit RGB or grey; transparency is dropped."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise InputError(
            f"{getattr(image, 'filename', 'image')} has 32-bit pixels; save it with 8 or 16 bits"
        )
    if "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("L" if channels == 1 else "RGB")


def image_size_of(path: Path) -> tuple[int, int]:
    """Height and width from a file's header.

    Raises:
        InputError: it is damaged.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except Exception as error:
        raise damaged_image(path, error) from error


def damaged_image(path: Path, error: Exception) -> InputError:
    """That a file can't be read, and what to do."""
    if isinstance(error, FileNotFoundError):
        return InputError(
            f"{path} is gone, which was there when the data was listed; put it back, or start again without "
            "it"
        )
    return InputError(
        f"{path} is damaged or no image ({error}); --skip-corrupt leaves such files out and names them"
    )
