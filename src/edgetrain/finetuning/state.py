"""The state a fine-tuning run is resumed from: one file of plain data, replaced atomically."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from ..artifacts.atomic import atomic_writer
from ..artifacts.checksums import check_sums
from ..config.compare import differences
from ..engine.run_state import RunState
from ..errors import InputError, UsageError

FORMAT = "edgetrain.finetuning"
VERSION = 1
# What may differ in a resumed run: how far to go, and how often to look.
_FREE = {"finetune.epochs", "finetune.max_steps", "finetune.eval_every"}


@dataclass
class SavedRun:
    """Everything a run needs to go on.

    Attributes:
        source: what the run started from: hashes of program, weights and training data.
        total_steps: steps the run was planned for when it was saved.
        config: the resolved configuration as plain data.
        tensors: all that training has changed, by name.
        optimizer: the optimizer's state_dict, None before its first step.
        random: PyTorch's random state (dropout of the torch runtime).
    """

    source: dict[str, Any]
    total_steps: int
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    optimizer: dict[str, Any] | None
    random: dict[str, Any]
    state: RunState


def save_run(path: Path, run: SavedRun) -> None:
    """Writes the state atomically."""
    plain = {**vars(run), "state": run.state.to_plain(), "format": FORMAT, "version": VERSION}
    with atomic_writer(path) as file:
        torch.save(plain, file)


def load_run(path: Path) -> SavedRun:
    """Reads a state; runs no code from it.

    Raises:
        InputError: missing or damaged.
    """
    if not path.is_file():
        raise InputError(f"there is nothing to resume: {path} does not exist; fine-tune without --resume")
    try:
        check_sums(path)
        plain = torch.load(path, map_location="cpu", weights_only=True)
        if plain.pop("format") != FORMAT or plain.pop("version") != VERSION:
            raise ValueError("another format")
        return SavedRun(**{**plain, "state": RunState.from_plain(plain["state"])})
    except (
        InputError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        ValidationError,
    ) as error:
        raise InputError(
            f"{path} is no usable state of a fine-tuning run; start anew without --resume"
        ) from error


def check_same_run(found: SavedRun, source: dict[str, Any], config: dict[str, Any]) -> None:
    """Checks that a saved run is the one asked for.

    Raises:
        UsageError: program, weights, data or settings differ; all differences are named.
    """
    changed = {k: v for k, v in differences(found.config, config).items() if k not in _FREE}
    problems = [f"{key} ({change})" for key, change in changed.items()]
    problems += [f"the {what}" for what in source if found.source.get(what) != source[what]]
    if problems:
        raise UsageError(
            f"the run can't be resumed with other settings: {', '.join(problems)}; "
            "change them back, or start anew without --resume"
        )
