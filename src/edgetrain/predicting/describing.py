"""What a model's outputs mean, one sample at a time: for people, and as plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..tasks import Task
from ..tasks.labels import is_valid
from ..tasks.outputs import main_output

# What a line for people has room for; and numbers per sample that are written one by one.
_SHOWN, _LISTED = 8, 1000

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Described:
    """One sample.

    Attributes:
        cells: for a table with the describer's columns.
        values: plain data by name.
    """

    cells: tuple[str, ...]
    values: dict[str, Any]


@dataclass(frozen=True)
class Describer:
    """Describes batches of outputs: `describe` takes outputs and targets, [B, ...] by name; None where there
    are no targets."""

    columns: tuple[str, ...]
    describe: Callable[[Tensors, Tensors | None], list[Described]]


def describer_for(task: Task, example: Tensors, top: int) -> Describer:
    """What describes the outputs of a task.

    Args:
        example: a batch of outputs.
        top: classes per sample that are told.
    """
    probabilities = task.probabilities(example)
    if probabilities is None:
        return Describer(("values", "target"), lambda outputs, targets: _numbers(outputs, targets))
    if task.class_dim is None:
        return Describer(("labels", "known"), lambda outputs, targets: _labels(task, outputs, targets))
    if probabilities.dim() == 2:
        columns = ("class", "score", "next best", "label")
        return Describer(columns, lambda outputs, targets: _classes(task, outputs, targets, top))
    return Describer(("classes", "right"), lambda outputs, targets: _dense(task, outputs, targets, top))


def class_name(classes: Sequence[str] | None, label: int) -> str:
    """A class by its name, else its number."""
    return classes[label] if classes is not None and 0 <= label < len(classes) else str(label)


def share_text(share: float) -> str:
    """`98.1 %`."""
    return f"{100 * share:.1f} %"


def _classes(task: Task, outputs: Tensors, targets: Tensors | None, top: int) -> list[Described]:
    probabilities = _probabilities(task, outputs)
    best = probabilities.topk(min(top, probabilities.shape[1]), dim=1)
    labels = None if targets is None else next(iter(targets.values())).tolist()
    described = []
    for row, (scores, found) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
        names = [class_name(task.spec.classes, label) for label in found]
        ranked = [{"class": name, "score": score} for name, score in zip(names, scores, strict=True)]
        values: dict[str, Any] = {"class": names[0], "score": scores[0], "top": ranked}
        known = ""
        if labels is not None:
            values["label"] = class_name(task.spec.classes, labels[row])
            values["right"] = labels[row] == found[0]
            known = str(values["label"]) + ("" if values["right"] else "  wrong")
        following = ", ".join(f"{r['class']} {share_text(r['score'])}" for r in ranked[1:])
        described.append(Described((names[0], share_text(scores[0]), following, known), values))
    return described


def _labels(task: Task, outputs: Tensors, targets: Tensors | None) -> list[Described]:
    """Labels that each apply or don't."""
    probabilities = _probabilities(task, outputs).flatten(1)
    known = None if targets is None else next(iter(targets.values())).flatten(1) > 0.5
    described = []
    for row, scores in enumerate(probabilities.tolist()):
        named = {class_name(task.spec.classes, i): score for i, score in enumerate(scores)}
        applies = [name for name, score in named.items() if score > 0.5]
        values: dict[str, Any] = {"labels": applies, "scores": named}
        text = ", ".join(f"{name} {share_text(named[name])}" for name in applies) or "none"
        told = ""
        if known is not None:
            places = known[row].nonzero().flatten().tolist()
            values["known"] = [class_name(task.spec.classes, place) for place in places]
            told = ", ".join(values["known"]) or "none"
        described.append(Described((text, told), values))
    return described


def _dense(task: Task, outputs: Tensors, targets: Tensors | None, top: int) -> list[Described]:
    """A class for every pixel or token: the sequence of tokens' classes, or the shares of pixels'."""
    output = main_output(outputs)
    count = output.shape[task.class_dim or 0]
    predicted = output.argmax(task.class_dim or 0)
    target = None if targets is None else next(iter(targets.values()))
    described = []
    for row, sample in enumerate(predicted):
        shares = sample.flatten().bincount(minlength=count).double() / sample.numel()
        occurring = [i for i in shares.argsort(descending=True, stable=True).tolist() if shares[i] > 0]
        by_name = {class_name(task.spec.classes, i): float(shares[i]) for i in occurring}
        values: dict[str, Any] = {"shares": by_name}
        text = ", ".join(f"{name} {share_text(share)}" for name, share in list(by_name.items())[:top])
        if sample.dim() == 1:
            sequence = [class_name(task.spec.classes, label) for label in sample.tolist()]
            values["classes"] = sequence
            text = _shortened(sequence, " ")
        told = ""
        if target is not None:
            valid = is_valid(target[row], task.spec.ignore_index)
            right = ((sample == target[row]) * valid).sum() / valid.sum()
            values["right"] = float(right)
            told = share_text(float(right)) if valid.any() else "–"
        described.append(Described((text, told), values))
    return described


def _numbers(outputs: Tensors, targets: Tensors | None) -> list[Described]:
    wanted = {} if targets is None else targets
    described = []
    for row in range(len(main_output(outputs))):
        values = {name: _plain(tensor[row]) for name, tensor in outputs.items()}
        known = {name: _plain(tensor[row]) for name, tensor in wanted.items()}
        text = _number_text(main_output(outputs)[row])
        told = ", ".join(_number_text(tensor[row]) for tensor in wanted.values())
        described.append(Described((text, told), {**values, **({"known": known} if known else {})}))
    return described


def _probabilities(task: Task, outputs: Tensors) -> Tensor:
    found = task.probabilities(outputs)
    assert found is not None
    return found


def _plain(tensor: Tensor) -> Any:
    """The numbers, or of very many what they are like."""
    if tensor.numel() <= _LISTED:
        return tensor.tolist()
    values = tensor.double()
    return {"least": float(values.min()), "mean": float(values.mean()), "largest": float(values.max())}


def _number_text(tensor: Tensor) -> str:
    if tensor.numel() <= _SHOWN:
        return ", ".join(f"{value:.4g}" for value in tensor.flatten().tolist())
    shape = "x".join(map(str, tensor.shape))
    values = tensor.double()
    return f"{shape} numbers from {values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}"


def _shortened(words: list[str], between: str) -> str:
    kept = between.join(words[: 2 * _SHOWN])
    return kept if len(words) <= 2 * _SHOWN else f"{kept}{between}..."
