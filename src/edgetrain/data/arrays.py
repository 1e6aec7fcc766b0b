"""`arrays`: one's own samples of any shape, from a .npz or .safetensors file or a packed data set."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..artifacts.packed import PackedDataset
from ..config.data import DataConfig
from ..errors import InputError, UsageError
from ..reporting import Reporter
from .augment import Augmentation
from .base import Source, TensorSplit, is_image
from .packed import read_packed
from .prepared import chunks
from .subset import hold_out

_NAMES = {
    "inputs": ("inputs", "x", "x_train"),
    "targets": ("targets", "y", "y_train"),
    "test_inputs": ("test_inputs", "x_test"),
    "test_targets": ("test_targets", "y_test"),
}
_MOST_CLASSES = 100_000


def read_arrays(config: DataConfig, reporter: Reporter) -> Source:
    """Reads `inputs` and `targets`, and `test_inputs` and `test_targets` where the file has them.

    Inputs stay uint8 or become float32 (or int64 ids); integer targets become int64 labels, floating-point
    ones float32 values. Without a test part, `data.test_fraction` of the samples is held out. What `edgetrain
    pack` wrote keeps its classes, its normalisation and its usual augmentation.

    Raises:
        UsageError: no file is given.
        InputError: the file is missing or damaged, or its arrays don't fit together.
    """
    if config.root is None:
        raise UsageError("--data arrays needs --data-dir FILE, a .npz, .safetensors or packed .ptd file")
    packed = read_packed(config.root) if config.root.is_dir() or config.root.suffix == ".ptd" else None
    found = packed.tensors if packed else _by_role(read_tensors(config.root), config.root)
    train = _split(found, "", config.root)
    if "test_inputs" in found:
        test = _split(found, "test_", config.root)
        _check_alike(train, test, config.root)
    else:
        train, test = _hold_out(train, config)
    classes = _classes(train, test, config.root)
    if packed is None or packed.description is None:
        return Source(train=train, test=test, classes=classes)
    return _described(Source(train=train, test=test, classes=classes), packed.description, config.root)


def _described(source: Source, description: PackedDataset, path: Path) -> Source:
    """The source with what its description knows and its arrays don't."""
    names = description.task.classes
    if names is not None and source.classes is not None and len(source.classes) > len(names):
        raise InputError(
            f"{path} has labels up to {len(source.classes) - 1}, but its description names {len(names)} "
            "classes; pack the data again"
        )
    usual = description.augmentation
    return replace(
        source,
        classes=names,
        preprocessing=description.preprocessing,
        measure=is_image(source.train.inputs([0])[0]),
        augmentation=Augmentation(usual.flip, usual.crop_padding),
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads all arrays of a file; nothing in it is executed.

    Raises:
        InputError: it is missing, damaged, of another kind, or holds Python objects.
    """
    if not path.is_file():
        raise InputError(
            f"{path} does not exist or is no file; --data-dir names a .npz, .safetensors or packed .ptd file"
        )
    if path.suffix == ".npz":
        return _read_npz(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    raise InputError(
        f"{path} is neither .npz, .safetensors nor .ptd; save it with numpy.savez or safetensors, or make it "
        "with edgetrain pack"
    )


def _read_npz(path: Path) -> dict[str, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
    ) as error:
        raise InputError(f"{path} is damaged or no plain .npz file ({error})") from error
    return {name: _from_numpy(array, name, path) for name, array in arrays.items() if name in _known_names()}


def _from_numpy(array: np.ndarray, name: str, path: Path) -> Tensor:
    """Numbers of any width and byte order as uint8, int64, float32 or bool."""
    wide = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}.get(array.dtype.kind)
    if wide is None:
        raise InputError(f"{path}: '{name}' holds {array.dtype}, not numbers")
    with np.errstate(over="ignore"):
        return torch.from_numpy(
            np.array(array, dtype=np.uint8 if array.dtype == np.uint8 else wide, order="C")
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{path} is damaged or no .safetensors file ({error})") from error


def _known_names() -> set[str]:
    return {name for names in _NAMES.values() for name in names}


def _by_role(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    found = {
        role: next(tensors[name] for name in names if name in tensors)
        for role, names in _NAMES.items()
        if any(name in tensors for name in names)
    }
    missing = [role for role in ("inputs", "targets") if role not in found]
    if len(found.keys() & {"test_inputs", "test_targets"}) == 1:
        missing += [role for role in ("test_inputs", "test_targets") if role not in found]
    if missing:
        accepted = "; ".join(f"'{role}' (or {', '.join(_NAMES[role][1:])})" for role in missing)
        raise InputError(f"{path} lacks {accepted}")
    return found


def _split(found: dict[str, Tensor], prefix: str, path: Path) -> TensorSplit:
    inputs, targets = found[f"{prefix}inputs"], found[f"{prefix}targets"]
    if inputs.dim() == 0 or targets.dim() == 0 or len(inputs) != len(targets):
        raise InputError(
            f"{path}: {prefix}inputs have shape {list(inputs.shape)}, {prefix}targets {list(targets.shape)}; "
            "both need one entry per sample first"
        )
    if inputs.numel() == 0:
        raise InputError(f"{path}: {prefix}inputs are empty")
    return TensorSplit(_inputs(inputs, f"{prefix}inputs", path), _targets(targets, f"{prefix}targets", path))


def _inputs(values: Tensor, name: str, path: Path) -> Tensor:
    if values.dim() == 1:
        values = values.unsqueeze(1)
    if values.dtype == torch.uint8:
        return values
    if values.is_floating_point() or values.dtype == torch.bool:
        return _finite(values.to(torch.float32), name, path)
    _refuse_complex(values, name, path)
    return values.to(torch.int64)


def _targets(values: Tensor, name: str, path: Path) -> Tensor:
    if values.is_floating_point():
        return _finite(values.to(torch.float32), name, path)
    _refuse_complex(values, name, path)
    labels = values.to(torch.int64)
    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels.squeeze(1)
    if labels.dim() != 1:
        raise InputError(
            f"{path}: integer {name} are class labels and need the shape [N], not {list(labels.shape)}; "
            "store multi-label or regression targets as float32"
        )
    _check_labels(labels, name, path)
    return labels


def _check_labels(labels: Tensor, name: str, path: Path) -> None:
    smallest, largest = int(labels.min()), int(labels.max())
    if smallest < 0:
        raise InputError(f"{path}: {name}[{int(labels.argmin())}] is {smallest}; labels count from 0")
    if largest >= _MOST_CLASSES:
        raise InputError(
            f"{path}: {name} go up to {largest}, too many classes; store regression targets as float32"
        )


def _refuse_complex(values: Tensor, name: str, path: Path) -> None:
    if values.is_complex():
        raise InputError(f"{path}: {name} hold complex numbers; store real ones")


def _finite(values: Tensor, name: str, path: Path) -> Tensor:
    for first, last in chunks(len(values), values[0].numel() * values.element_size()):
        bad = torch.nonzero(~torch.isfinite(values[first:last]))
        if len(bad):
            where = ", ".join(map(str, [first + int(bad[0, 0]), *bad[0, 1:].tolist()]))
            raise InputError(f"{path}: {name}[{where}] is not a finite float32 number")
    return values


def _check_alike(train: TensorSplit, test: TensorSplit, path: Path) -> None:
    for name, one, other in (
        ("inputs", train.inputs([0]), test.inputs([0])),
        ("targets", train.targets, test.targets),
    ):
        if one.shape[1:] != other.shape[1:] or one.dtype != other.dtype:
            raise InputError(
                f"{path}: a sample's {name} are {one.dtype} {list(one.shape[1:])} for training and "
                f"{other.dtype} {list(other.shape[1:])} for testing; they must be alike"
            )


def _hold_out(every: TensorSplit, config: DataConfig) -> tuple[TensorSplit, TensorSplit]:
    train, test = hold_out(every.targets, config.test_fraction, config.seed)
    if len(test) == 0:
        raise InputError(
            f"{config.root}: too few samples ({len(every)}) to hold some out for testing; "
            "add test_inputs and test_targets to the file"
        )
    return (
        TensorSplit(every.inputs(train), every.targets[train]),
        TensorSplit(every.inputs(test), every.targets[test]),
    )


def _classes(train: TensorSplit, test: TensorSplit, path: Path) -> list[str] | None:
    if train.targets.dtype != torch.int64:
        return None
    return [str(label) for label in range(int(max(train.targets.max(), test.targets.max())) + 1)]
