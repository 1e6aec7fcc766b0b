"""In what two runs differ, beyond what `compare` is there for: the runtime, and how fast it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .history import History

STARTING_WEIGHTS = "starting weights"
# Where, how fast and with which of equally right kernels a run is made, and what is written meanwhile.
_NO_DIFFERENCE = {
    *("runtime", "kernels", "threads", "device", "save", "save_every", "eval_every", "eval_batch_size"),
    *("keep_features", "root", "log", "picture"),
}
# Told by the hashes of `History.source`.
_HASHED = {"model", "start"}
# What is done to the samples besides, which these hashes don't know.
_OF_DATA = {"augment", "flip", "crop_padding", "mean", "std"}
_SECTIONS = {"train": "training", "finetune": "training"}


@dataclass(frozen=True)
class Differences:
    """What another run has otherwise than the first.

    Attributes:
        source: of training data, validation data, model and starting weights, those that are others.
        settings: (value here, value in the first run), by key.
        known: whether both runs have noted their data, so that `source` is everything.
    """

    source: list[str]
    settings: dict[str, tuple[Any, Any]]
    known: bool

    @property
    def comparable(self) -> bool:
        """Whether figures of the runs are about the same data and model."""
        return not set(self.source) - {STARTING_WEIGHTS}

    @property
    def same_steps(self) -> bool:
        """Whether the runs should go the same way, step by step."""
        return not self.source and not self.settings


def differences(history: History, first: History) -> Differences:
    """What a run has otherwise than the first of a comparison."""
    here, there = dict(_plain(history.config)), dict(_plain(first.config))
    known = bool(history.source and first.source)
    # One that starts from nothing begins with the weights that its seed gives.
    names = {*history.source, *first.source} if known else set()
    other = [name for name in sorted(names) if history.source.get(name) != first.source.get(name)]
    settings = {
        key: (here[key], there[key])
        for key in here
        if key in there and here[key] != there[key] and not (known and _told_by_hash(key))
    }
    return Differences(other, settings, known)


def _told_by_hash(key: str) -> bool:
    section, _, name = key.partition(".")
    return section == "data" and name not in _OF_DATA


def _plain(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if name in _NO_DIFFERENCE or (not prefix and name in _HASHED):
            continue
        key = f"{prefix}{name}" if prefix else _SECTIONS.get(name, name)
        if isinstance(value, Mapping):
            yield from _plain(value, f"{key}.")
        else:
            yield key, value
