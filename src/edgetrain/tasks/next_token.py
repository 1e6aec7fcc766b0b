"""The next token at every position of a text."""

from __future__ import annotations

from ..artifacts.contract import Metric
from .base import COUNT, LOSS, LOSS_SUM
from .token_classification import TokenClassification


class NextToken(TokenClassification):
    """Outputs float32 [B, T, V], targets int64 [B, T]: the inputs moved by one. Perplexity is exp(loss)."""

    name = "next-token"
    prediction = "tokens"
    metrics = (
        Metric(name="perplexity", kind="exp_mean", top=LOSS_SUM, bottom=COUNT, better="lower"),
        *TokenClassification.metrics,
    )
    best = (LOSS.name,)
