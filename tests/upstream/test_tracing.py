"""Graphs whose code is written late."""

from __future__ import annotations

import inspect

import torch
from torch import fx, nn

from edgetrain.upstream.tracing import plain_tracing


def test_code_is_written_when_it_is_asked_for() -> None:
    with plain_tracing():
        traced = fx.symbolic_trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
        for node in traced.graph.nodes:
            if node.target == "1":
                node.replace_all_uses_with(node.args[0])
        traced.graph.eliminate_dead_code()
        traced.recompile()
        x = torch.randn(2, 3)
        torch.testing.assert_close(traced(x), traced.get_submodule("0")(x))
    assert "relu" not in traced.code
    assert "input" in str(inspect.signature(traced.forward))
