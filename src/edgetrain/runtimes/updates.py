"""Who updates the weights in a run: the program, or an optimizer beside it."""

from __future__ import annotations

from ..artifacts.program import Program
from ..config.optimizer import OptimizerConfig
from ..engine.program_optimizer import why_outside
from ..errors import UsageError


def check_updates(
    runtime: str, program: Program, optimizer: OptimizerConfig, accumulate: int = 1
) -> str | None:
    """Finds out before a run how its weights will be updated.

    Args:
        runtime: any, the native runner included.
        accumulate: batches that make one step.
    Returns:
        None where the program does it; else why it doesn't, as a clause.
    Raises:
        UsageError: the program can't, and gives no gradients for another way.
    """
    if runtime == "torch":
        return "eager PyTorch runs no program"
    contract = program.manifest.contract
    why = why_outside(contract, optimizer, accumulate)
    if why is not None and contract.gradient_method is None:
        raise UsageError(
            f"{why}, but {program.path} keeps its gradients to itself; change that setting, or export with "
            "--update-in-graph auto"
        )
    return why
