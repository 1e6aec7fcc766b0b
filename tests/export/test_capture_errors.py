"""What is said where torch.export can't capture a model: the line of the model that it can't."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.errors import CheckFailedError
from edgetrain.export.capture import export_graph
from edgetrain.export.capture_errors import reason_of


class Takes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.take_along_dim(x, x.argsort(1)[:, :2], 1)


class Asks(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Asks(), r"at 'if x\.sum\(\) > 0:' \(test_capture_errors\.py, line \d+\); have it compute both ways"),
        (Takes(), r"the batch becomes a constant at 'return torch\.take_along_dim\(.*\)' \(test_capture"),
    ],
)
def test_the_line_is_named(model: nn.Module, said: str) -> None:
    with pytest.raises(CheckFailedError, match=said):
        export_graph(model, [torch.randn(3, 4)], 8)


def test_without_a_line() -> None:
    assert reason_of(RuntimeError("no\nmore")) == "no"
    assert reason_of(RuntimeError("")) == "RuntimeError"
    assert reason_of(RuntimeError('no\n  File "/a/model.py", line 7, in f\n    return x')) == (
        "no at 'return x' (model.py, line 7)"
    )
    constant = "Constraints violated (batch)! For more\n - your code specialized it to be a constant (3)."
    assert reason_of(RuntimeError(constant)) == "the batch becomes a constant"
