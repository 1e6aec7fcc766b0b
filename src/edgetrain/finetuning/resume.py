"""Whether a saved run is the one to be gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..artifacts.run_state import RunRecord, load_run
from ..config.compare import differences, free_keys
from ..config.stages import FinetuneCommand
from ..errors import InputError, UsageError
from .outputs import state_path

# What a run starts from, in words.
_SOURCES = {"program": "the program", "weights": "the weights it started from", "data": "the training data"}


def interrupted_after(output: Path) -> tuple[int, int] | None:
    """Steps done and planned of an interrupted run with this output; None where there is none. Of one that
    may end early, it can't be told."""
    try:
        found = load_run(state_path(output)).record
    except InputError:
        return None
    ends_early = found.config.get("finetune", {}).get("patience") is not None
    return None if ends_early or found.step >= found.total_steps else (found.step, found.total_steps)


def check_runtime(found: RunRecord, runtime: str, name: str) -> None:
    """Refuses to go on in another runtime than the one that saved the state.

    Args:
        name: of the state's file, for the message.
    Raises:
        UsageError: it was another.
    """
    if found.runtime != runtime:
        raise UsageError(
            f"the run was made in another runtime: {name} was saved by {found.runtime}; go on with --runtime "
            f"{found.runtime}, or start anew without --resume"
        )


def check_same_run(found: RunRecord, source: dict[str, str], config: dict[str, Any]) -> None:
    """Checks that a saved run is the one asked for.

    Raises:
        UsageError: program, weights, data or settings differ; all differences are named.
    """
    free = free_keys(FinetuneCommand)
    changed = {k: v for k, v in differences(found.config, config).items() if k not in free}
    problems = [f"{key} ({change})" for key, change in changed.items()]
    problems += [what for key, what in _SOURCES.items() if found.source.get(key) != source[key]]
    if problems:
        raise UsageError(
            f"the run can't be resumed with other settings: {', '.join(problems)}; "
            "change them back, or start anew without --resume"
        )
