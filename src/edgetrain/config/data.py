"""Which data a stage works on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator, model_validator

from .base import Section, setting
from .names import DATA_SETS
from .shift import parse_shift

# The data set that a file is read as, by its suffix.
_SUFFIXES = {".npz": "arrays", ".safetensors": "arrays", ".ptd": "arrays", ".txt": "text"}


def _kind_of_place(place: Path) -> str | None:
    """The data set that a path means; None of what is no path."""
    if place.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[place.suffix.lower()]
    return "image-folder" if place.is_dir() else None


class DataConfig(Section):
    """A data set, how its inputs are prepared, and the part of it that is used."""

    name: Literal[tuple(DATA_SETS)] = setting(  # type: ignore[valid-type]
        "digits",
        "data set, or the path of an image folder, a .npz, .safetensors, .ptd or text file; optimize, "
        "finetune, predict and bench take that of the training where none is named",
        flag="--data",
    )
    root: Path | None = setting(
        None,
        "folder (cifar10, image-folder, text) or .npz, .safetensors, .ptd (arrays) or text file the data is "
        "read from",
        flag="--data-dir",
    )
    inputs: list[str] = setting(
        [],
        "names of the arrays that are inputs, in the order the model takes them; default: inputs or x "
        "(arrays)",
        flag="--inputs",
    )
    targets: list[str] = setting(
        [], "names of the arrays that are targets; default: targets or y (arrays)", flag="--targets"
    )
    length: int = setting(128, "tokens in a sample (text)", ge=1, le=2**20, flag="--length")
    tokenizer: Path | None = setting(
        None, "tokenizer.json that makes tokens of text; default: its bytes (text)", flag="--tokenizer"
    )
    image_size: int | None = setting(
        None,
        "resize images to this height and width [pixels]; default: as they are",
        ge=1,
        flag="--image-size",
    )
    channels: Literal[1, 3] | None = setting(
        None, "convert images to 1 (grey) or 3 channels; default: as they are", flag="--channels"
    )
    skip_corrupt: bool = setting(
        False,
        "leave out images that can't be decoded, and say which; all are read for it (image-folder)",
        flag="--skip-corrupt",
    )
    images_per_class: int | None = setting(
        None,
        "use a balanced subset of the training split with this many samples per class; default: all",
        ge=1,
        flag="--images-per-class",
    )
    test_images_per_class: int | None = setting(
        None,
        "use a balanced subset of the test split with this many samples per class; default: all",
        ge=1,
        flag="--test-images-per-class",
    )
    shift: list[str] = setting(
        [],
        "turn the data into what one device sees: rotate:DEGREES, invert, noise:STD, blur:SIGMA, "
        "classes:A,B,...; repeatable, applied in order",
        flag="--shift",
        commas=False,
    )
    augment: bool = setting(True, "augment training images as is usual for the data set", flag="--augment")
    flip: bool | None = setting(
        None, "mirror training images at random; default: as usual for the data set", flag="--flip"
    )
    crop_padding: int | None = setting(
        None,
        "shift training images at random by up to this many pixels; default: as usual for the data set",
        ge=0,
        le=4096,
        flag="--crop-padding",
    )
    mean: list[float] | None = setting(
        None, "mean per channel, subtracted from inputs scaled to 0..1; default: the data set's"
    )
    std: list[float] | None = setting(None, "standard deviation per channel; default: the data set's")
    test_fraction: float = setting(
        0.2, "share of the samples held out for testing where the data has no test split", gt=0, lt=1
    )
    seed: int = setting(0, "seed of subsets, splits, shifts and synthetic samples", ge=0)
    args: dict[str, Any] = setting(
        {}, "arguments of the data set; synthetic takes shape, classes, samples and task", flag="--data-arg"
    )

    @model_validator(mode="before")
    @classmethod
    def _a_place_for_a_name(cls, values: Any) -> Any:
        """`name: ./photos` is the image-folder in it, and `name: x.npz` the arrays."""
        if not isinstance(values, dict) or values.get("root") is not None:
            return values
        name = values.get("name")
        if isinstance(name, str | Path) and name not in DATA_SETS:
            kind = _kind_of_place(Path(name))
            if kind is not None:
                return {**values, "name": kind, "root": name}
        return values

    @field_validator("name", mode="before")
    @classmethod
    def _known_place(cls, value: Any) -> Any:
        """Raises ValueError for a path with no data at it, which is no misspelt name."""
        place = Path(value) if isinstance(value, str) and value not in DATA_SETS else None
        if place is not None and _kind_of_place(place) is None:
            if place.exists():
                raise ValueError(f"{value} is no image folder, and no .npz, .safetensors, .ptd or text file")
            if len(place.parts) > 1 or value != place.name:
                raise ValueError(f"{value} does not exist; name a data set, a folder or a file")
        return value

    @field_validator("shift", mode="before", json_schema_input_type=list[str] | str | dict[str, Any])
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        """`shift: invert` and `shift: {rotate: 90, invert: true}` mean the same as their list forms."""
        if isinstance(value, str):
            return [value]
        if isinstance(value, dict):
            return [kind if argument is True else f"{kind}:{argument}" for kind, argument in value.items()]
        return value

    @field_validator("shift")
    @classmethod
    def _known_shifts(cls, value: list[str]) -> list[str]:
        for text in value:
            parse_shift(text)
        return value

    @field_validator("std")
    @classmethod
    def _positive(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and min(value, default=1.0) <= 0:
            raise ValueError("standard deviations must be greater than 0")
        return value

    @model_validator(mode="after")
    def _mean_with_std(self) -> DataConfig:
        if (self.mean is None) != (self.std is None):
            raise ValueError("give mean and std together")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise ValueError("mean and std must have the same length")
        return self
