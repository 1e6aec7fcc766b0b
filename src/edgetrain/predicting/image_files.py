"""Image files on a command line: one by one, or in folders, which may be named after their classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..artifacts.specs import InputSpec
from ..data.base import Indices, Split, as_rows
from ..data.decode import SUFFIXES, ImageFormat, decode_images, list_images, sound_images
from ..data.folders import visible_folders
from ..errors import InputError, UsageError
from ..reporting import Reporter


class ImageFiles(Split):
    """Images that are decoded whenever they are asked for.

    Args:
        labels: int64 [N]; None where they aren't known.
        names: of the model's input and target.
    """

    def __init__(
        self, paths: list[Path], labels: Tensor | None, form: ImageFormat, names: tuple[str, str]
    ) -> None:
        self.paths = paths
        self._labels = labels
        self._format = form
        self._input, self._target = names

    def __len__(self) -> int:
        return len(self.paths)

    def inputs(self, indices: Indices) -> dict[str, Tensor]:
        chosen = [self.paths[row] for row in as_rows(indices).tolist()]
        return {self._input: decode_images(chosen, self._format)}

    def targets(self, indices: Indices) -> dict[str, Tensor]:
        return {} if self._labels is None else {self._target: self._labels[as_rows(indices)]}

    @property
    def labels(self) -> Tensor | None:
        return self._labels


def is_image_file(path: Path) -> bool:
    """Whether a path looks like an image's."""
    return path.suffix.lower() in SUFFIXES


def image_format(inputs: Mapping[str, InputSpec]) -> ImageFormat:
    """The form in which a model takes images.

    Raises:
        UsageError: it takes none.
    """
    spec = next(iter(inputs.values()))
    if len(inputs) != 1 or spec.dtype != "float32" or len(spec.shape) != 3 or spec.shape[0] not in (1, 3):
        takes = ", ".join(f"{name} {list(s.shape)} {s.dtype}" for name, s in inputs.items())
        raise UsageError(f"the model takes no images but {takes}; name a .npz file, or data with --data")
    channels, height, width = spec.shape
    square = height if height == width else None
    return ImageFormat(channels, square, None if square else (height, width))


def read_images(
    places: Sequence[Path],
    inputs: Mapping[str, InputSpec],
    target: str | None,
    classes: Sequence[str] | None,
    reporter: Reporter,
    *,
    skip_corrupt: bool,
) -> ImageFiles:
    """Finds the images in files and folders. Those in a folder with the name of a class have its label.

    Args:
        skip_corrupt: look at all of them first, and leave damaged ones out.
        target: name of the model's target where that is one class per sample, else None.
        classes: of the model, where they have names.
    Raises:
        UsageError: the model takes no images.
        InputError: there are none, all are damaged, or some folders are named after classes and others
            are not.
    """
    form = image_format(inputs)
    if all(spec.preprocessing.scale == 1 for spec in inputs.values()):
        reporter.warn("the model doesn't say how pixels are scaled; they go in as numbers from 0 to 255")
    found: list[tuple[Path, str | None]] = []
    for place in places:
        if not place.is_dir():
            found.append((place, None))
            continue
        found += [(path, None) for path in list_images(place)]
        for name in visible_folders(place):
            found += [(path, name) for path in list_images(place / name)]
    if not found:
        raise InputError(
            f"{', '.join(map(str, places))}: no images found ({', '.join(sorted(SUFFIXES))}), neither there "
            "nor in folders there"
        )
    if skip_corrupt:
        found = [found[row] for row in sound_images([path for path, _ in found], reporter)]
        if not found:
            raise InputError(f"all images in {', '.join(map(str, places))} are damaged")
    labels = _labels(found, classes) if target is not None and classes else None
    return ImageFiles([path for path, _ in found], labels, form, (next(iter(inputs)), target or ""))


def _labels(found: list[tuple[Path, str | None]], classes: Sequence[str]) -> Tensor | None:
    folders = {name for _, name in found if name is not None}
    known = folders & set(classes)
    if not known:
        return None
    strangers = sorted(folders - known)
    if strangers or any(name is None for _, name in found):
        what = f"the folder {strangers[0]} is" if strangers else "some images lie in none that is"
        raise InputError(
            f"folders are named after classes ({', '.join(sorted(known)[:3])}), but {what} not; the model's "
            f"classes are {', '.join(classes[:10])}{', ...' if len(classes) > 10 else ''}; rename or move "
            "them, or name the images one by one"
        )
    return torch.tensor([classes.index(str(name)) for _, name in found], dtype=torch.int64)
