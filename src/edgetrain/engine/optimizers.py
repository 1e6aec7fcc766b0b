"""Optimizers with torch.optim's meaning."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ..config.optimizer import OptimizerConfig
from ..errors import UsageError


def make_optimizer(config: OptimizerConfig, params: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """An optimizer over those of `params` that require gradients.

    Raises:
        UsageError: none of them does.
    """
    trainable = [p for p in params if p.requires_grad]
    if not trainable:
        raise UsageError("the model has no trainable parameters")
    if config.name == "sgd":
        return torch.optim.SGD(
            trainable,
            lr=config.lr,
            momentum=config.momentum,
            dampening=config.dampening,
            nesterov=config.nesterov,
            weight_decay=config.weight_decay,
        )
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(
        trainable,
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Sets the learning rate of the next step."""
    for group in optimizer.param_groups:
        group["lr"] = lr
