"""What lowering to edge dialect must not do in silence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.errors import CheckFailedError
from edgetrain.export.capture import export_graph
from edgetrain.export.edge import to_edge_dialect
from edgetrain.export.pipeline import Joint, Recipe


class GoesRound(nn.Module):
    """PyTorch writes this padding, which `composed` would replace, part by part into an empty tensor."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, (1, 2, 2, 1), mode="circular")


def test_a_batch_that_becomes_a_constant_is_refused() -> None:
    graph = export_graph(GoesRound(), [torch.randn(3, 2, 5, 5)], 4)
    with pytest.raises(
        CheckFailedError, match=r"the model can't be lowered: .* a constant of 3; --max-batch"
    ):
        to_edge_dialect(Joint({"forward": graph}, {}, [], []), Recipe(), "the model")
    single = export_graph(GoesRound(), [torch.randn(1, 2, 5, 5)], 1)
    to_edge_dialect(Joint({"forward": single}, {}, [], []), Recipe(), "the model")
