"""What an optimizer that is part of a program keeps, and what it is told at each step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...artifacts.run_state import FIRST, SECOND
from ...config.optimizer import OptimizerConfig
from ...engine.optimizers import hyperparameters

# Gradients of the parts of a batch, added up.
SUM = "optimizer.sum/"


def states_of(config: OptimizerConfig, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros for what the optimizer keeps of each parameter, by name."""
    kept = {"sgd": (FIRST,) if config.momentum else (), "adam": (FIRST, SECOND), "adamw": (FIRST, SECOND)}
    return {
        prefix + name: torch.zeros_like(parameter, requires_grad=False)
        for prefix in kept[config.name]
        for name, parameter in parameters.items()
    }


def sums_of(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Zeros for the gradients of a batch that is run in parts, by name."""
    return {
        SUM + name: torch.zeros_like(parameter, requires_grad=False) for name, parameter in parameters.items()
    }


def told_of(config: OptimizerConfig) -> list[str]:
    """Names of the hyperparameters that the optimizer is given at each step."""
    return list(hyperparameters(config, 1, config.lr))
