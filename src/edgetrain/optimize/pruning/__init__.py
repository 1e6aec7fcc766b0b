"""Pruning: channels that are cut off, and single weights that stay zero.

result = prune(model, 0.3, inputs=example)                  # 30 % of the channels
result = prune(model, kind="2:4")                           # two of four weights are zero
result = prune(model, 0.6, kind="unstructured", schedule="gradual")
... result.hook.after_step(model, step, total)              # in the training loop
"""

from __future__ import annotations

from .importance import losses_of
from .prune import PruneResult, prune
from .report import PrunedLayer, sparse_layers

__all__ = ["PruneResult", "PrunedLayer", "losses_of", "prune", "sparse_layers"]
