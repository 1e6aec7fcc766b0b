"""Names that a user may write for tasks and losses."""

from __future__ import annotations

from typing import Literal

TaskName = Literal[
    "auto",
    "classification",
    "multi-label",
    "regression",
    "segmentation",
    "token-classification",
    "next-token",
]
# The first one is for classes.
LOSSES = ("cross_entropy", "mse", "l1", "bce_with_logits")
