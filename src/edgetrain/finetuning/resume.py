"""Whether a saved run is the one to be gone on with."""

from __future__ import annotations

from typing import Any

from ..artifacts.run_state import RunRecord
from ..config.compare import differences, free_keys
from ..config.stages import FinetuneCommand
from ..errors import UsageError

# What a run starts from, in words.
_SOURCES = {"program": "the program", "weights": "the weights it started from", "data": "the training data"}


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
