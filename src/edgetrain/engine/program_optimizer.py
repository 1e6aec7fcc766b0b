"""The optimizer that is part of a program, beside the one that a run asks for."""

from __future__ import annotations

import math

from pydantic import ValidationError

from ..artifacts.contract import Contract
from ..config.optimizer import OptimizerConfig
from ..errors import UsageError


def why_outside(contract: Contract, config: OptimizerConfig, accumulate: int = 1) -> str | None:
    """Why a run's optimizer has to be one outside of the program, as a clause; None: the program's own does
    all that is asked for.

    Args:
        accumulate: batches that make one step.
    """
    own = contract.optimizer
    if own is None:
        return "the program has no optimizer of its own"
    if config.clip_norm is not None:
        return "clip_norm needs all gradients of a step at once"
    if accumulate > 1 and not contract.splits_batches:
        return "accumulate adds up the gradients of several batches"
    if own.name != config.name:
        return f"the program's own optimizer is {own.name}, not {config.name}"
    for setting, value in own.rule.items():
        wanted = config.rule[setting]
        if value != wanted:
            return f"the program's own optimizer has {setting} {_text(value)}, not {_text(wanted)}"
    if not _same_shares(own, config):
        return "the program's own optimizer has other groups, or another learning rate for the rest"
    return None


def with_own_settings(config: OptimizerConfig, contract: Contract) -> OptimizerConfig:
    """A run's optimizer, as the program's own in all that nobody chose but the learning rate and the largest
    norm. The rates of its groups keep their ratio to the learning rate.

    An optimizer that somebody chose and the program hasn't takes nothing from the program.

    Raises:
        UsageError: the settings don't go together.
    """
    own = contract.optimizer
    if own is None or ("name" in config.model_fields_set and config.name != own.name):
        return config
    defaults = own.model_dump(exclude={"lr", "clip_norm"})
    defaults["groups"] = {pattern: config.lr * share for pattern, share in _shares(own).items()}
    try:
        return OptimizerConfig.model_validate({**defaults, **config.model_dump(exclude_unset=True)})
    except ValidationError as error:
        reason = error.errors()[0]["ctx"]["error"]
        raise UsageError(f"{reason}; what isn't set is as in the program's own optimizer") from error


def own_optimizer(contract: Contract, lr: float) -> OptimizerConfig:
    """The program's own at a learning rate; SGD with momentum where it has none."""
    return with_own_settings(OptimizerConfig(lr=lr), contract)


def _text(value: bool | float) -> str:
    """A setting as the runner writes it."""
    return str(value).lower() if isinstance(value, bool) else repr(value).removesuffix(".0")


def _shares(config: OptimizerConfig) -> dict[str, float]:
    """Learning rates of groups as shares of the optimizer's."""
    return {pattern: rate / config.lr for pattern, rate in config.groups.items()}


def _same_shares(own: OptimizerConfig, config: OptimizerConfig) -> bool:
    """Patterns in the same order, since the first that fits counts; a ratio may be off by rounding."""
    ours, theirs = _shares(own), _shares(config)
    return list(ours) == list(theirs) and all(
        math.isclose(ours[name], theirs[name], rel_tol=1e-12) for name in ours
    )
