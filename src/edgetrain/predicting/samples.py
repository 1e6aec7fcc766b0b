"""What is predicted: image files, a file of arrays, or a split of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.data import DataConfig
from ..config.stages import PredictCommand
from ..data import load_dataset
from ..data.array_files import ARRAY_SUFFIXES
from ..data.arrays import every_sample
from ..data.base import Split
from ..data.checks import check_class_order, check_split
from ..data.folders import split_folders
from ..data.image_masks import has_masks
from ..errors import InputError, UsageError
from ..reporting import Reporter
from ..tasks import Task
from .image_files import ImageFiles, image_format, is_image_file, read_images
from .subject import Subject

# Of a data set, which has no names for its samples, so many are listed where nobody says otherwise.
_LISTED = 20


@dataclass(frozen=True)
class Samples:
    """Samples and what they are called.

    Attributes:
        labelled: whether they have targets.
        source: where they come from, in words.
        listed: how many of them people want to see one by one, where nobody says.
    """

    split: Split
    labelled: bool
    source: str
    listed: int

    def name(self, row: int) -> str:
        """A sample's name: its file, or its number."""
        return str(self.split.paths[row]) if isinstance(self.split, ImageFiles) else str(row)


def find_samples(
    config: PredictCommand, places: Sequence[Path], subject: Subject, task: Task, reporter: Reporter
) -> Samples:
    """Reads what is named on the command line, or the data set of the configuration.

    Raises:
        UsageError: what is named can't be predicted together, or the model takes no images.
        InputError: something is missing or damaged, or doesn't fit the model.
    """
    samples = _read(config, places, subject, task, reporter)
    check_split(
        samples.split,
        subject.inputs,
        task.check_targets,
        subject.targets if samples.labelled else None,
        id_bounds=subject.id_bounds,
    )
    return samples


def _read(
    config: PredictCommand, places: Sequence[Path], subject: Subject, task: Task, reporter: Reporter
) -> Samples:
    for place in places:
        if not place.exists():
            raise InputError(f"{place} does not exist; name images, a folder of them, or a file of arrays")
    if not places:
        return _data_set(config.data, config.predict.split, subject, task, reporter)
    first = places[0]
    if len(places) == 1 and first.is_dir():
        if _is_packed(first):
            return _arrays(config, first, task)
        if any(split_folders(first)) or has_masks(first):
            return _data_set(
                _image_folder(first, config.data, subject), config.predict.split, subject, task, reporter
            )
    arrays = [place for place in places if place.suffix.lower() in ARRAY_SUFFIXES]
    if arrays and len(places) > 1:
        raise UsageError(f"{arrays[0]} has samples of its own; name it alone")
    if arrays:
        return _arrays(config, first, task)
    other = next((place for place in places if place.is_file() and not is_image_file(place)), None)
    if other is not None:
        raise InputError(
            f"{other} is no image, and no .npz, .safetensors or packed .ptd file; name one of these, or a "
            "data set with --data"
        )
    single = [n for n, s in (subject.targets or {}).items() if s.shape == () and s.dtype == "int64"]
    target = single[0] if single and task.class_dim is not None else None
    images = read_images(
        places,
        subject.inputs,
        target,
        task.spec.classes,
        reporter,
        skip_corrupt=config.data.skip_corrupt,
    )
    return Samples(images, images.labels is not None, ", ".join(map(str, places[:3])), len(images))


def _is_packed(folder: Path) -> bool:
    return any(folder.glob("*.ptd"))


def _image_folder(folder: Path, data: DataConfig, subject: Subject) -> DataConfig:
    """Images in folders for training, read as the model takes them."""
    form = image_format(subject.inputs)
    values = {
        "name": "image-folder",
        "root": folder,
        "channels": form.channels,
        "skip_corrupt": data.skip_corrupt,
    }
    return DataConfig.model_validate({**values, "image_size": form.resize_to})


def _arrays(config: PredictCommand, path: Path, task: Task) -> Samples:
    split, classes = every_sample(path, config.data, config.predict.split)
    if classes is not None and task.spec.classes is not None:
        check_class_order(classes, list(task.spec.classes))
    return Samples(split, bool(split.targets([0])), str(path), _LISTED)


def _data_set(data: DataConfig, name: str, subject: Subject, task: Task, reporter: Reporter) -> Samples:
    found = load_dataset(data, reporter, program=subject.inputs, in_memory=False)
    if found.classes is not None and task.spec.classes is not None:
        check_class_order(found.classes, list(task.spec.classes))
    split = found.test if name == "test" else found.train
    where = f" in {data.root}" if data.root else ""
    return Samples(split, True, f"{data.name}{where}, {name} split", _LISTED)
