"""Numbers that a caller chooses, as arguments of operators."""

from __future__ import annotations

import torch
from torch.fx import Graph, GraphModule

from edgetrain.export.optimizers.scalars import SCALARS, STAND_IN, known, less, over, put_scalars, times


def test_what_is_known_is_a_number() -> None:
    assert times(2.0, 3.0) == 6.0
    assert times("rate", 1.0) == "rate"
    assert times(1.0, "rate") == "rate"
    assert known(0.5) == 0.5
    assert known(times("rate", 2.0)) == STAND_IN


def test_the_numbers_come_from_inputs() -> None:
    graph = Graph()
    x, *_ = (graph.placeholder(name) for name in ("x", "rate", "share"))
    less_rate = less(1.0, times("rate", 0.5))
    total = graph.call_function(torch.ops.aten.add.Tensor, (x, x), {"alpha": STAND_IN})
    total.meta[SCALARS] = {"alpha": over(less_rate, "share")}
    scaled = graph.call_function(torch.ops.aten.mul.Scalar, (total, STAND_IN))
    scaled.meta[SCALARS] = {1: "rate"}
    graph.output(scaled)
    module = GraphModule({}, graph)
    assert put_scalars(module) == 2
    x = torch.tensor([1.0, 2.0])
    found = module(x, torch.tensor(0.4), torch.tensor(0.1))
    assert torch.allclose(found, 0.4 * (x + (1 - 0.2) / 0.1 * x))
    assert sum(node.target is torch.ops.aten._local_scalar_dense.default for node in graph.nodes) == 2


def test_a_graph_without_any_stays() -> None:
    graph = Graph()
    graph.output(graph.placeholder("x"))
    module = GraphModule({}, graph)
    assert put_scalars(module) == 0
