"""Pruning while a model is trained: a bit after each step of the optimizer.

What a schedule does hangs on the weights, the step and the number of steps, so that nothing beside the model
has to be saved. Which weights are pruned is found anew from their magnitudes each time: those that were zero,
and that an optimizer's momentum moved, are still among the least.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import nn

from .weights import Sparsity, masks_of, set_zeros, weight_of

Schedule = Literal["once", "gradual", "blend"]


class _Ramp:
    """Something that is done over the first part of a run, and held from then on.

    Args:
        over: that part, more than 0 and at most 1.
    """

    def __init__(self, over: float, **settings: Any) -> None:
        self._over = over
        self.settings: dict[str, Any] = {**settings, "over": over}

    def progress(self, step: int, total: int) -> float:
        """How much of it is done after a step, from 0 to 1."""
        return min(1.0, step / max(1, round(self._over * total)))

    def settled(self, step: int, total: int) -> bool:
        return self.progress(step, total) >= 1


class GradualPruning(_Ramp):
    """More weights become zero with every step: fast at first, when many don't matter, and slowly at the end
    (Zhu and Gupta 2017, arXiv 1710.01878): after a share t of the steps, 1 - (1 - t)^3 of the sparsity.
    """

    def __init__(self, layers: Sequence[str], sparsity: Sparsity, over: float) -> None:
        super().__init__(over, **_settings("gradual", layers, sparsity))
        self._layers, self._sparsity = tuple(layers), sparsity

    @torch.no_grad()
    def after_step(self, model: nn.Module, step: int, total: int) -> None:
        done = 1 - (1 - self.progress(step, total)) ** 3
        scores = {layer: weight_of(model, layer).abs() for layer in self._layers}
        set_zeros(model, masks_of(scores, self._sparsity, done))


class BlendedWeights(_Ramp):
    """The least weights, as many as are to be zero, shrink with every step, in proportion to what is left of
    the ramp, so that the others take over while they fade."""

    def __init__(self, layers: Sequence[str], sparsity: Sparsity, over: float) -> None:
        super().__init__(over, **_settings("blend", layers, sparsity))
        self._layers, self._sparsity = tuple(layers), sparsity

    @torch.no_grad()
    def after_step(self, model: nn.Module, step: int, total: int) -> None:
        scores = {layer: weight_of(model, layer).abs() for layer in self._layers}
        set_zeros(model, masks_of(scores, self._sparsity), _fading(self, step, total))


class BlendedChannels(_Ramp):
    """Channels that will be cut fade in the same way, with their biases and the scales and shifts of their
    norms: at the end they add nothing, and cutting them changes nothing.

    Args:
        rows: of which parameters, along which dimension, which indices fade.
    """

    def __init__(self, rows: Mapping[str, tuple[int, Sequence[int]]], over: float) -> None:
        plain = json.dumps({name: [dim, list(indices)] for name, (dim, indices) in rows.items()})
        digest = hashlib.sha256(plain.encode()).hexdigest()
        super().__init__(over, schedule="blend", pattern="channel", channels=digest)
        self._rows = {name: (dim, list(indices)) for name, (dim, indices) in rows.items()}

    @torch.no_grad()
    def after_step(self, model: nn.Module, step: int, total: int) -> None:
        kept = _fading(self, step, total)
        for name, (dim, indices) in self._rows.items():
            parameter = model.get_parameter(name)
            index = torch.tensor(indices, device=parameter.device)
            faded = parameter.index_select(dim, index) * kept if kept else 0.0
            if isinstance(faded, float):
                parameter.index_fill_(dim, index, faded)
            else:
                parameter.index_copy_(dim, index, faded)


def _fading(ramp: _Ramp, step: int, total: int) -> float:
    """What pruned weights are multiplied by after a step: all of these together go from 1 to 0 in a line."""
    before, after = 1 - ramp.progress(step - 1, total), 1 - ramp.progress(step, total)
    return after / before if after > 0 else 0.0


def _settings(schedule: str, layers: Sequence[str], sparsity: Sparsity) -> dict[str, Any]:
    return {
        "schedule": schedule,
        "pattern": sparsity.pattern,
        "ratio": sparsity.ratio,
        "scope": sparsity.scope,
        "layers": list(layers),
    }
