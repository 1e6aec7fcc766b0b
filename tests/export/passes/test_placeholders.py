"""Further inputs and buffers of graphs are found again by whatever name."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgetrain.export.capture import export_graph
from edgetrain.export.passes.placeholders import add_buffer, add_input, placeholder_of


@pytest.mark.parametrize("name", ["state.LayerNorm.weight", "optimizer first.H", "plain"])
def test_added_placeholders_are_found(name: str) -> None:
    """fx calls a node by another name than it was asked to, where that has capitals or is taken."""
    program = export_graph(nn.Linear(3, 2), (torch.randn(2, 3),), 4)
    buffer, again = (add_buffer(program, n, torch.zeros(2)) for n in (name, name.lower() + "."))
    rate = add_input(program, "Rate", torch.zeros(()))
    assert placeholder_of(program, name) is buffer
    assert placeholder_of(program, name.lower() + ".") is again
    assert placeholder_of(program, rate.name) is rate
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    assert [node.name for node in nodes] == [node.target for node in nodes]
    assert [spec.arg.name for spec in program.graph_signature.input_specs] == [node.name for node in nodes]
