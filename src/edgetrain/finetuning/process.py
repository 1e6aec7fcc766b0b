"""In which process a program is trained further."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from ..config.stages import FinetuneCommand
from ..factories import NOTHING, Trusted
from ..reporting import SILENT, Reporter
from ..runtimes.child import Child
from ..runtimes.retold import Telling, retold
from .outputs import with_runtime
from .result import FinetuneResult


def finetune(
    config: FinetuneCommand,
    program: Path,
    output: Path,
    *,
    weights: Path | None = None,
    resume: bool = False,
    to_pth: Path | None = None,
    from_pth: Path | None = None,
    trusted: Trusted = NOTHING,
    reporter: Reporter = SILENT,
) -> FinetuneResult:
    """Trains an exported program further.

    Beside `output` it writes `<stem>.history.json` and what a resumed run starts from, after every epoch.

    Args:
        weights: start from this .ptd rather than the one the program was exported with.
        resume: go on with an interrupted run of the same output; the result is, bit by bit, that of a run
            without interruption (in the executorch runtime without dropout only).
        to_pth: also fold the tuned weights back into a checkpoint for the server.
        from_pth: the checkpoint the program was exported from, where `to_pth` needs what only that has.
        trusted: whose code the caller lets build the model and its loss, where torch needs them.
    Raises:
        InputError: program, weights or data are damaged or don't fit each other.
        UsageError: the settings don't fit the program.
        CheckFailedError: the loss is not finite.
        InterruptedRun: Ctrl-C or SIGTERM; everything is saved.
    """
    config = with_runtime(config, output if resume else None)
    given: dict[str, Any] = {
        "weights": weights,
        "resume": resume,
        "to_pth": to_pth,
        "from_pth": from_pth,
        "trusted": trusted,
    }
    if config.finetune.runtime != "executorch":
        from .stage import finetune_here

        return finetune_here(config, program, output, **given, reporter=reporter)
    what = f"fine-tuning {program}"
    with retold(reporter) as told, Child(_Elsewhere, what=what, told=told) as child, child.interruptible():
        result: FinetuneResult = child.call("finetune", config, program, output, given)
    return result


class _Elsewhere:
    """What lives in a process of its own: what ExecuTorch doesn't check of a program ends a process."""

    def __init__(self) -> None:
        # As in the parent: until the stage catches both, they end what is under way.
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    def finetune(
        self, config: FinetuneCommand, program: Path, output: Path, given: dict[str, Any]
    ) -> FinetuneResult:
        from .stage import finetune_here

        return finetune_here(config, program, output, **given, reporter=Telling())
