"""Which known architectures a state_dict without a model looks like."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..config.model import ModelConfig
from ..errors import EdgetrainError
from ..models import build_model
from ..models.registry import BUILTINS
from ..models.torchvision_models import PREFIX, torchvision_names
from .fitting import name_prefix

# Arguments without defaults; any value shows the names of the parameters.
_ANY: dict[str, dict[str, Any]] = {
    "cnn1d": {"in_channels": 1, "length": 64, "num_classes": 2},
    "mlp": {"in_features": 4, "num_classes": 2},
}
_LIKE_ENOUGH = 0.5
_MOST = 3
# Tensors in the smallest model of torchvision (alexnet); building all of them takes seconds.
_FEWEST = 16


def suggest_models(state: Mapping[str, Tensor]) -> list[str]:
    """Models whose names and shapes are nearest, the best first, as `--model` takes them.

    Where only the last layer differs in size, `--model-arg num_classes=N` is added.
    """
    scored = []
    known = _shapes(*BUILTINS)
    if len(state) >= _FEWEST:
        known = {**known, **_shapes(*(PREFIX + name for name in torchvision_names()))}
    for name, theirs in known.items():
        prefix = name_prefix(state, theirs)
        ours = {
            key.removeprefix(prefix): tuple(t.shape) for key, t in state.items() if key.startswith(prefix)
        }
        common = [key for key in theirs if key in ours]
        equal = sum(theirs[key] == ours[key] for key in common)
        score = (len(common) + equal) / (2 * len(theirs.keys() | ours.keys()))
        if score >= _LIKE_ENOUGH:
            scored.append((score, name + _outputs(theirs, ours)))
    return [text for _, text in sorted(scored, key=lambda item: -item[0])[:_MOST]]


@functools.cache
def _shapes(*names: str) -> dict[str, dict[str, tuple[int, ...]]]:
    """Parameters and buffers of registered models, built without memory."""
    shapes = {}
    for name in names:
        args = _ANY.get(name, {})
        # Some can't be built without memory; they are not suggested then.
        with contextlib.suppress(EdgetrainError, NotImplementedError), torch.device("meta"):
            model = build_model(ModelConfig(name=name, args=args))
            shapes[name] = {key: tuple(t.shape) for key, t in model.state_dict().items()}
    return shapes


def _outputs(theirs: Mapping[str, tuple[int, ...]], ours: Mapping[str, tuple[int, ...]]) -> str:
    differing = [key for key in theirs if key in ours and theirs[key] != ours[key]]
    last = [key for key in theirs if key.endswith("weight")][-1:]
    if (
        last
        and last[0] in differing
        and all(key.rpartition(".")[0] == last[0].rpartition(".")[0] for key in differing)
    ):
        return f" --model-arg num_classes={ours[last[0]][0]}"
    return ""
