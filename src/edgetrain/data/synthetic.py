"""`synthetic`: random samples of any shape and number that a model can learn, for tests and timings."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from ..config.data import DataConfig
from ..config.names import IGNORED_PIXEL, IGNORED_TOKEN
from ..errors import ConfigError
from ..reporting import Reporter
from .base import Source, TensorSplit
from .seeds import generator_for

_TASKS = ("classify", "regress", "multilabel", "segment", "tokens")
# What the data is for, where that is not the usual use of its targets, and the label that counts for nothing.
_DENSE = {
    "segment": ("segmentation", IGNORED_PIXEL),
    "tokens": ("token-classification", IGNORED_TOKEN),
}
_DIMENSIONS = {"segment": (3, "[C, H, W]"), "tokens": (1, "[T]")}


@dataclass(frozen=True)
class SyntheticArgs:
    """The keys of `data.args`.

    Attributes:
        shape: of one sample; [C, H, W] for segment, [T] for tokens.
        classes: number of classes (classify, segment, tokens), labels (multilabel) or values (regress).
        samples: training samples.
        test_samples: test samples.
        task: classify, regress, multilabel, segment or tokens.
    """

    shape: tuple[int, ...] = (3, 32, 32)
    classes: int = 10
    samples: int = 512
    test_samples: int = 128
    task: str = "classify"


def read_synthetic(config: DataConfig, reporter: Reporter) -> Source:
    """Makes samples from `config.args` and `config.seed`: float32, but int64 for tokens.

    classify: a random prototype per class, plus noise. regress and multilabel: noise, with random linear
    functions of it as values (float32 [N, classes]), or the signs of these as labels 0.0 and 1.0. segment:
    noise, each pixel [C] of which is of the class whose random direction it is most along. tokens: ids below
    `classes`, each of which has the class of its random permutation.

    Raises:
        ConfigError: an argument is unknown or has no usable value.
    """
    args = parse_args(config.args)
    make, shared = _maker(args, generator_for(config.seed, "synthetic"))
    train = make(args, shared, args.samples, generator_for(config.seed, "synthetic", "train"))
    test = make(args, shared, args.test_samples, generator_for(config.seed, "synthetic", "test"))
    names = None if args.task == "regress" else [str(label) for label in range(args.classes)]
    task, ignored = _DENSE.get(args.task, (None, None))
    return Source(train=train, test=test, classes=names, task=task, ignored=ignored)


Maker = Callable[[SyntheticArgs, Tensor, int, torch.Generator], TensorSplit]


def _maker(args: SyntheticArgs, generator: torch.Generator) -> tuple[Maker, Tensor]:
    """What makes a split, and what both splits share."""
    if args.task == "tokens":
        return _make_tokens, torch.randperm(args.classes, generator=generator)
    if args.task == "segment":
        return _make_masks, torch.randn(args.classes, args.shape[0], generator=generator)
    return _make, torch.randn(args.classes, *args.shape, generator=generator)


def _make(args: SyntheticArgs, shared: Tensor, count: int, generator: torch.Generator) -> TensorSplit:
    """`count` samples; `shared` [classes, *shape] are the prototypes or the linear functions."""
    noise = torch.randn(count, *args.shape, generator=generator)
    if args.task == "classify":
        labels = torch.arange(count) % args.classes
        return TensorSplit.of(shared[labels] + noise, labels)
    values = noise.flatten(1) @ shared.flatten(1).T / math.sqrt(math.prod(args.shape))
    return TensorSplit.of(noise, values if args.task == "regress" else (values > 0).to(torch.float32))


def _make_masks(args: SyntheticArgs, shared: Tensor, count: int, generator: torch.Generator) -> TensorSplit:
    """`count` samples; `shared` [classes, C] are the directions."""
    noise = torch.randn(count, *args.shape, generator=generator)
    return TensorSplit.of(noise, torch.einsum("nchw,kc->nkhw", noise, shared).argmax(1))


def _make_tokens(args: SyntheticArgs, shared: Tensor, count: int, generator: torch.Generator) -> TensorSplit:
    """`count` samples; `shared` [classes] is the permutation."""
    ids = torch.randint(0, args.classes, (count, *args.shape), generator=generator)
    return TensorSplit.of(ids, shared[ids])


def parse_args(given: dict[str, Any]) -> SyntheticArgs:
    """Checks the arguments, all at once.

    Raises:
        ConfigError: with every problem.
    """
    known = [field.name for field in fields(SyntheticArgs)]
    problems = [_unknown(name, known) for name in given if name not in known]
    for name in ("classes", "samples", "test_samples"):
        if name in given and not _is_count(given[name]):
            problems.append(f"data.args.{name}: {given[name]!r} is no whole number from 1")
    shape = given.get("shape", SyntheticArgs.shape)
    if not isinstance(shape, (list, tuple)) or not shape or not all(_is_count(size) for size in shape):
        problems.append(f"data.args.shape: {shape!r} is no list of whole numbers from 1, such as [3, 32, 32]")
    dimensions = _DIMENSIONS.get(given.get("task", ""))
    if dimensions is not None and len(shape) != dimensions[0]:
        problems.append(f"data.args.shape: {given['task']} needs {dimensions[1]}, not {list(shape)}")
    if given.get("task", _TASKS[0]) not in _TASKS:
        problems.append(f"data.args.task: {given['task']!r} is none of {', '.join(_TASKS)}")
    if problems:
        raise ConfigError(problems)
    return SyntheticArgs(**{**given, "shape": tuple(shape)})


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
    return f"data.args.{name}: synthetic has no such argument; {hint}"
