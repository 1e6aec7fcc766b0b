"""Optimizers with torch.optim's meaning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from ..config.optimizer import OptimizerConfig
from ..errors import UsageError

# Of a parameter group: its learning rate as a share of the optimizer's.
_SHARE = "share"
# What torch.optim calls the buffers it keeps of a parameter.
_BUFFERS: dict[str, tuple[str, str | None]] = {
    "sgd": ("momentum_buffer", None),
    "adam": ("exp_avg", "exp_avg_sq"),
    "adamw": ("exp_avg", "exp_avg_sq"),
}


def make_optimizer(
    config: OptimizerConfig, parameters: Iterable[tuple[str, nn.Parameter]]
) -> torch.optim.Optimizer:
    """An optimizer over those of the named `parameters` that require gradients, with their learning rates.

    Raises:
        UsageError: none of them does, or a pattern of `config.groups` fits none.
    """
    trainable = {name: p for name, p in parameters if p.requires_grad}
    if not trainable:
        raise UsageError("the model has no trainable parameters")
    check_groups(config, trainable)
    by_rate: dict[float, list[nn.Parameter]] = {}
    for name, parameter in trainable.items():
        by_rate.setdefault(_rate(config, name), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": members, "lr": rate, _SHARE: rate / config.lr} for rate, members in by_rate.items()
    ]
    if config.name == "sgd":
        return torch.optim.SGD(
            groups,
            lr=config.lr,
            momentum=config.momentum,
            dampening=config.dampening,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
        )
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(
        groups,
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
    )


def check_groups(config: OptimizerConfig, names: Iterable[str]) -> None:
    """Checks the patterns of `config.groups` against the names of trainable parameters.

    Raises:
        UsageError: one fits none: a slip of the keyboard that would train with a wrong learning rate.
    """
    known = list(names)
    for pattern in config.groups:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UsageError(
                f"--group {pattern} fits no trainable parameter; there are {', '.join(known[:5])}"
                f"{', ...' if len(known) > 5 else ''}"
            )


def _rate(config: OptimizerConfig, name: str) -> float:
    """The learning rate of a parameter: that of the first pattern its name fits."""
    fitting = (rate for pattern, rate in config.groups.items() if fnmatchcase(name, pattern))
    return next(fitting, config.lr)


def rate_share(config: OptimizerConfig, name: str) -> float:
    """The learning rate of a parameter as a share of the optimizer's."""
    return _rate(config, name) / config.lr


def hyperparameters(config: OptimizerConfig, step: int, lr: float) -> dict[str, float]:
    """What changes from step to step in an optimizer's arithmetic, by the names that a program's contract has
    for it.

    Args:
        step: counts from 1.
        lr: of this step; the rates of groups are shares of it.
    """
    if config.name != "sgd":
        corrections = {"bias_correction1": 1 - config.beta1**step, "bias_correction2": 1 - config.beta2**step}
        return {"learning_rate": lr, **corrections}
    if not (config.momentum and config.dampening):
        return {"learning_rate": lr}
    return {"learning_rate": lr, "gradient_share": 1.0 if step == 1 else 1 - config.dampening}


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of the next step; those of groups change by the same factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group[_SHARE]


def clip_gradients(config: OptimizerConfig, parameters: Iterable[nn.Parameter]) -> Tensor | None:
    """Shortens all gradients together to at most `config.clip_norm`, in place.

    Returns:
        their norm before, a float32 scalar; None where they are not to be clipped.
    """
    if config.clip_norm is None:
        return None
    return nn.utils.clip_grad_norm_(parameters, config.clip_norm)


@dataclass
class Moments:
    """What an optimizer has learned, the same for every runtime.

    Attributes:
        steps: how many it has made.
        first, second: momentum, or the two moments of Adam, by parameter name; empty where it keeps none.
    """

    steps: int = 0
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)


def moments_of(
    config: OptimizerConfig,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    steps: int,
) -> Moments:
    """Reads them from an optimizer of `make_optimizer` after `steps` steps; nothing is copied."""
    found = Moments(steps)
    for kept, key in zip((found.first, found.second), _BUFFERS[config.name], strict=True):
        for name, parameter in parameters.items():
            buffer = optimizer.state.get(parameter, {}).get(key)
            if buffer is not None:
                kept[name] = buffer
    return found


def restore_moments(
    config: OptimizerConfig,
    optimizer: torch.optim.Optimizer,
    parameters: Mapping[str, nn.Parameter],
    moments: Moments,
) -> None:
    """Puts them into a new optimizer of `make_optimizer`."""
    for name, parameter in parameters.items():
        for buffers, key in zip((moments.first, moments.second), _BUFFERS[config.name], strict=True):
            if key is not None and name in buffers:
                optimizer.state[parameter][key] = buffers[name].clone()
        if config.name != "sgd" and moments.steps:
            optimizer.state[parameter]["step"] = torch.tensor(float(moments.steps))
