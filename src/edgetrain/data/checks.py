"""Whether data fits a model, found out before the first step rather than by a crash in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ..artifacts.specs import InputSpec, TensorSpec, channels_first_advice
from ..config.shift import parse_shift
from ..errors import InputError
from ..reporting import Reporter
from .base import Dataset, Indices, Split, is_image, shape_text
from .prepared import bytes_of

CheckTargets = Callable[[Mapping[str, Tensor], str], None]
"""A task's check of columns of targets; see `tasks.Task.check_targets`."""

# Of tensors that are checked at once.
_PIECE_BYTES = 256 * 1024**2
# Classes in a warning.
_NAMED = 10


def check_fits(
    dataset: Dataset,
    inputs: Mapping[str, InputSpec],
    check_targets: CheckTargets,
    classes: Sequence[str] | None,
    targets: Mapping[str, TensorSpec] | None = None,
) -> None:
    """Checks a whole data set, all targets of both splits, against a model.

    Args:
        inputs: the model's, by name in its order.
        check_targets: of the model's task.
        classes: those the model was made for.
        targets: of the data the model was made for, which a program's shapes are fixed by; None: any.
    Raises:
        InputError: it doesn't fit; says what to do.
    """
    check_inputs(dataset.train.inputs([0]), inputs)
    splits = {"train ": dataset.train, "test ": dataset.test}
    for where, split in splits.items():
        for first, columns in _columns(split, split.targets):
            check_targets(columns, f"{where}(counted from {first}) " if first else where)
    if targets is not None:
        _check_names("targets", list(dataset.targets), list(targets))
        for name, spec in targets.items():
            _check_target(_called(name, targets), dataset.targets[name], spec)
    if classes is not None and dataset.classes is not None:
        check_class_order(dataset.classes, list(classes))


def check_split(
    split: Split,
    inputs: Mapping[str, InputSpec],
    check_targets: CheckTargets,
    targets: Mapping[str, TensorSpec] | None,
    *,
    id_bounds: Mapping[str, tuple[int, int]],
) -> None:
    """Checks all samples of one split against a model, as `check_fits` and `check_ids` do a data set's.

    Args:
        targets: of the data the model was made for; None: the samples have none, or nothing is known.
        id_bounds: least and most id, by input.
    Raises:
        InputError: it doesn't fit; says what to do.
    """
    first = split.samples([0])
    check_inputs(first.inputs, inputs)
    if targets is not None:
        _check_names("targets", list(first.targets), list(targets))
    if first.targets:
        for start, columns in _columns(split, split.targets):
            check_targets(columns, f"(counted from {start}) " if start else "")
    if id_bounds:
        _check_ids(split, "", id_bounds, "program")


def check_inputs(stored: Mapping[str, Tensor], inputs: Mapping[str, InputSpec]) -> None:
    """Checks samples as they are stored, [B, ...] each, against a model's inputs.

    Raises:
        InputError: they don't fit; says what to do.
    """
    _check_names("inputs", list(stored), list(inputs))
    for name, wanted in inputs.items():
        _check_input(_called(name, inputs), stored[name][0], wanted)


def check_ids(dataset: Dataset, bounds: Mapping[str, tuple[int, int]], what: str = "program") -> None:
    """Checks the ids of both splits, whose inputs are those that a model or program takes.

    Args:
        bounds: least and most id, by input.
        what: takes them, for the message.
    Raises:
        InputError: one is outside; says what to do.
    """
    if not bounds:
        return
    for where, split in {"train ": dataset.train, "test ": dataset.test}.items():
        _check_ids(split, where, bounds, what)


def _check_ids(split: Split, where: str, bounds: Mapping[str, tuple[int, int]], what: str) -> None:
    for first, columns in _columns(split, split.inputs):
        for name, (least, most) in bounds.items():
            ids = columns[name]
            bad = torch.nonzero((ids < least) | (ids > most))
            if len(bad):
                raise InputError(
                    f"{where}sample {first + int(bad[0, 0])} has the id {int(ids[tuple(bad[0])])} in "
                    f"{name}, the {what} takes {least} to {most}; use other data, or a model with a "
                    "larger vocabulary"
                )


def _columns(
    split: Split, read: Callable[[Indices], dict[str, Tensor]]
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """All targets or inputs, [N, ...] each, or pieces of them where they are large; and the position of the
    first."""
    rows = max(1, _PIECE_BYTES // max(1, bytes_of(read([0]))))
    for first in range(0, len(split), rows):
        yield first, read(torch.arange(first, min(first + rows, len(split))))


def _check_names(kind: str, data: list[str], model: list[str]) -> None:
    if set(data) != set(model):
        raise InputError(
            f"the model takes the {kind} {', '.join(model)}, the data has {', '.join(data)}; choose with "
            f"--{kind}, or rename the arrays"
        )


def _called(name: str, all_of_them: Mapping[str, TensorSpec]) -> str:
    """A tensor's name in messages, where it isn't the only one."""
    return f" {name}" if len(all_of_them) > 1 else ""


def _check_input(called: str, sample: Tensor, spec: TensorSpec) -> None:
    shape = tuple(sample.shape)
    dtype = "int64" if sample.dtype == torch.int64 else "float32"
    if shape != spec.shape:
        flags = _layout_flags(shape, spec.shape) if is_image(sample) else ""
        last = channels_first_advice(shape) if len(spec.shape) == 3 else ""
        remedy = f"use {flags}" if flags else last or "use other data, or a model made for these samples"
        raise InputError(
            f"the data's samples{called} are {shape_text(shape)}, the model takes "
            f"{shape_text(spec.shape)}; {remedy}"
        )
    if dtype != spec.dtype:
        raise InputError(
            f"the data's samples{called} are {dtype}, the model takes {spec.dtype}; use other data"
        )


def _layout_flags(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """The flags that bring images [C, H, W] into the wanted shape, empty where there are none."""
    if len(wanted) != 3 or wanted[0] not in (1, 3) or wanted[1] != wanted[2]:
        return ""
    size = f"--image-size {wanted[1]}" if shape[1:] != wanted[1:] else ""
    channels = f"--channels {wanted[0]}" if shape[0] != wanted[0] else ""
    return " ".join(flag for flag in (size, channels) if flag)


def _check_target(called: str, data: TensorSpec, spec: TensorSpec) -> None:
    if (data.shape, data.dtype) != (spec.shape, spec.dtype):
        found, wanted = (
            shape_text(s.shape) if data.dtype == spec.dtype else f"{s.dtype} {shape_text(s.shape)}"
            for s in (data, spec)
        )
        lacks_one = data.dtype == spec.dtype and (*data.shape, 1) == spec.shape
        remedy = (
            "save them with a last dimension of 1, as targets[..., None]"
            if lacks_one
            else "use other data, or train and export a model for these"
        )
        raise InputError(
            f"the targets{called} are {found} per sample, the program was exported for {wanted}; {remedy}"
        )


def warn_of_classes(
    split: Split, classes: Sequence[str] | None, shifts: Sequence[str], reporter: Reporter
) -> None:
    """Names the classes that there is nothing of to learn from, unless they were left out on purpose.

    Args:
        split: the training samples, whose labels were checked.
        classes: those that the model knows; None where it knows none.
        shifts: of the data, as configured.
    """
    labels = split.labels
    if classes is None or labels is None or any(parse_shift(text).kind == "classes" for text in shifts):
        return
    present = set(labels.unique().tolist())
    missing = [f"'{name}'" for label, name in enumerate(classes) if label not in present]
    if len(classes) - len(missing) == 1 == len(present):
        only = classes[present.pop()]
        reporter.warn(
            f"all {len(labels)} training samples are of the class '{only}': there is nothing to tell apart"
        )
    elif missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        reporter.warn(
            f"there are no training samples of {len(missing)} of {len(classes)} classes, which can't be "
            f"learned: {', '.join(missing[:_NAMED])}{more}"
        )


def check_class_order(data: list[str], model: list[str]) -> None:
    """Known names at other positions mean that every label would be wrong without anybody noticing."""
    for label, name in enumerate(data):
        if name in model and model.index(name) != label:
            raise InputError(
                f"class '{name}' is label {label} in the data but {model.index(name)} in the model; keep "
                f"all of the model's classes in the data and choose some with --shift classes:{name},..."
            )
