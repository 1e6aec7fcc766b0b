"""Whether data fits a model, found out before the first step rather than by a crash in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..artifacts.specs import Task, TensorSpec
from ..errors import InputError
from .base import Dataset, is_image, shape_text


def check_fits(
    dataset: Dataset, spec: TensorSpec, task: Task, target_shape: Sequence[int] | None = None
) -> None:
    """Checks a whole data set, all targets of both splits, against the model.

    Args:
        spec: the model's input.
        task: the model's task; its `classes` are those the model was made for.
        target_shape: of one sample's targets, where a program fixes it.
    Raises:
        InputError: it doesn't fit; says what to do.
    """
    _check_shape(dataset.input.shape, spec, is_image(dataset.train.inputs([0])[0]))
    _check_input_dtype(getattr(torch, dataset.input.dtype), spec)
    names = task.classes if task.classes is not None else dataset.classes
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        check_targets(split.targets, task, None if names is None else len(names), f"{name} ")
        found = tuple(split.targets.shape[1:])
        if target_shape is not None and found != tuple(target_shape):
            raise InputError(
                f"the {name} targets are {shape_text(found)} per sample, the program was exported for "
                f"{shape_text(target_shape)}; use other data, or train and export a model for these"
            )
    if task.classes is not None and dataset.classes is not None:
        _check_class_order(dataset.classes, task.classes)


def check_targets(targets: Tensor, task: Task, num_classes: int | None, where: str = "") -> None:
    """Checks dtype, shape and range of targets for the task's loss.

    Args:
        where: put before "sample" in messages, such as "train ".
    Raises:
        InputError: they don't fit; says what to do.
    """
    if task.loss == "cross_entropy":
        _check_labels(targets, num_classes, where)
        return
    if targets.dtype != torch.float32:
        remedy = "use --loss cross_entropy for class labels, or store the targets as float32"
        raise InputError(
            f"{task.loss} needs float32 targets, the data's are {_dtype(targets.dtype)}; {remedy}"
        )
    _check_finite(targets, f"{where}targets")
    if task.loss == "bce_with_logits":
        _check_multilabel(targets, num_classes, where)


def _check_labels(targets: Tensor, num_classes: int | None, where: str) -> None:
    if targets.dtype != torch.int64:
        raise InputError(
            f"cross_entropy needs class labels (int64), the data's targets are {_dtype(targets.dtype)}; "
            "use --loss mse, l1 or bce_with_logits, or store the targets as integers"
        )
    if targets.dim() != 1:
        raise InputError(
            f"cross_entropy needs one label per sample, the targets are {shape_text(targets.shape)}"
        )
    bad = targets < 0 if num_classes is None else (targets < 0) | (targets >= num_classes)
    rows = torch.nonzero(bad).flatten()
    if len(rows):
        row = int(rows[0])
        known = "labels count from 0" if num_classes is None else f"the model has {num_classes} classes"
        known += "" if not num_classes else f" (labels 0 to {num_classes - 1})"
        raise InputError(f"{where}sample {row} has the label {int(targets[row])}, but {known}")


def _check_multilabel(targets: Tensor, num_labels: int | None, where: str) -> None:
    if num_labels is not None and tuple(targets.shape[1:]) != (num_labels,):
        raise InputError(
            f"the targets of a {where}sample have the shape {shape_text(targets.shape[1:])}, "
            f"the model predicts {num_labels} labels"
        )
    bad = torch.nonzero((targets < 0) | (targets > 1))
    if len(bad):
        value = float(targets[tuple(bad[0])])
        raise InputError(
            f"{where}sample {int(bad[0, 0])} has the target {value:g}; bce_with_logits needs 0 to 1"
        )


def _check_shape(shape: tuple[int, ...], spec: TensorSpec, image: bool) -> None:
    if shape == spec.shape:
        return
    remedy = _layout_flags(shape, spec.shape) if image else ""
    raise InputError(
        f"the data's samples are {shape_text(shape)}, the model takes {shape_text(spec.shape)}; "
        + (f"use {remedy}" if remedy else "use other data, or a model made for these samples")
    )


def _layout_flags(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """The flags that bring images [C, H, W] into the wanted shape, empty where there are none."""
    if len(wanted) != 3 or wanted[0] not in (1, 3) or wanted[1] != wanted[2]:
        return ""
    size = f"--image-size {wanted[1]}" if shape[1:] != wanted[1:] else ""
    channels = f"--channels {wanted[0]}" if shape[0] != wanted[0] else ""
    return " ".join(flag for flag in (size, channels) if flag)


def _check_input_dtype(dtype: torch.dtype, spec: TensorSpec) -> None:
    if _dtype(dtype) != spec.dtype:
        raise InputError(
            f"the data's samples are {_dtype(dtype)}, the model takes {spec.dtype}; use other data"
        )


def _check_finite(values: Tensor, name: str) -> None:
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        row = int(torch.nonzero(~finite)[0, 0])
        raise InputError(
            f"the {name} of sample {row} hold a NaN or infinite number; remove or repair the sample"
        )


def _check_class_order(data: list[str], model: list[str]) -> None:
    """Known names at other positions mean that every label would be wrong without anybody noticing."""
    for label, name in enumerate(data):
        if name in model and model.index(name) != label:
            raise InputError(
                f"class '{name}' is label {label} in the data but {model.index(name)} in the model; keep "
                f"all of the model's classes in the data and choose some with --shift classes:{name},..."
            )


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
