"""Orders of operators: what they may not change, and what they are for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.memory.liveness import Storages
from edgetrain.export.memory.order import apply_order, least_memory_order, predecessors
from edgetrain.export.passes.onto import ONTO


class Updates(nn.Module):
    """A weight that is written first and read later, through a view too. [B, 4] → weight, [B, 2, 2]"""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        written = self.weight - x.mean(0)
        return written, torch.sin(x).view(-1, 2, 2) * self.weight.view(2, 2)


class Momentum(nn.Module):
    """A state that is written twice. [B, 4] → weight, state"""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))
        self.register_buffer("state", torch.zeros(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state = 0.9 * self.state + (x * self.weight).mean(0)
        return self.weight - state, state


class Late(nn.Module):
    """A large constant that is made long before it is needed. [B, 4] → [B, 4]"""

    def forward(self, x: Tensor) -> Tensor:
        large = torch.full((1024, 4), 2.0)
        for _ in range(3):
            x = torch.exp(torch.sin(x.unsqueeze(-1).expand(-1, -1, 32)).sum(-1))
        return x * large.sum(0)


class Piling(nn.Module):
    """Large intermediate results that are all made before any is reduced. [B, 4] → [B]"""

    def forward(self, x: Tensor) -> Tensor:
        large = [torch.sin((i + x).unsqueeze(-1).expand(-1, -1, 64)) for i in range(6)]
        return sum((each.sum((1, 2)) for each in large), start=x.sum(1))


class Drops(nn.Module):
    """Two random operators, of which it would take least memory to run the second first. [B, 64] → [B]"""

    def forward(self, x: Tensor) -> Tensor:
        first = nn.functional.dropout(x, 0.5, training=True)
        second = nn.functional.dropout(x[:, :2], 0.5, training=True).sum(1)
        return first.sum(1) * second


def names(order) -> list[str]:
    return [node.name for node in order]


def place(order, part: str) -> int:
    return next(i for i, node in enumerate(order) if part in node.name)


X = torch.randn(3, 4)


def test_writers_come_after_all_readers_of_the_old_contents(edge_dialect) -> None:
    program = edge_dialect(Updates(), X, onto={0: "weight"}).exported_program("forward")
    assert place(program.graph.nodes, "sub") < place(program.graph.nodes, "mul"), "the graph as it was made"
    order = least_memory_order(program)
    assert place(order, "mul") < place(order, "sub")


def test_writers_of_one_tensor_keep_their_turns(edge_dialect) -> None:
    program = edge_dialect(Momentum(), X, onto={0: "weight", 1: "state"}).exported_program("forward")
    state = program.graph.output_node().args[0][1]
    decayed = next(node for node in state.all_input_nodes if "mul" in node.name)
    decayed.meta[ONTO] = state.meta[ONTO]
    needed = predecessors(Storages(program).nodes)
    assert decayed in needed[state]
    order = least_memory_order(program)
    assert order.index(decayed) < order.index(state) < place(order, "sub")
    read = next(node for node in order if "mul" in node.name and node is not decayed)
    assert order.index(read) < place(order, "sub"), "the weight is read before it is written"


def test_contradictions_are_found(edge_dialect) -> None:
    """A result written onto a weight, and one that needs both old and new contents."""
    program = edge_dialect(Updates(), X, onto={0: "weight"}).exported_program("forward")
    written = program.graph.output_node().args[0][0]
    with program.graph.inserting_after(written):
        both = program.graph.call_function(written.target, (written, written.args[0]))
        both.meta["val"] = written.meta["val"]
    with pytest.raises(RuntimeError, match="a weight would be written before all have read it"):
        least_memory_order(program)


@pytest.mark.parametrize("module", [Late(), Piling()], ids=lambda m: type(m).__name__)
def test_less_lives_at_once(edge_dialect, module: nn.Module) -> None:
    program = edge_dialect(module, X).exported_program("forward")
    given = X, torch.randn(2, 4)
    before = Storages(program).peak()
    wanted = [program.module()(x) for x in given]
    order = least_memory_order(program)
    assert sorted(names(order)) == sorted(names(Storages(program).nodes))
    apply_order(program, order)
    assert Storages(program).peak() < 0.7 * before
    for x, expected in zip(given, wanted, strict=True):
        assert torch.equal(program.module()(x), expected)


def test_the_order_is_kept_where_no_other_needs_less(edge_dialect) -> None:
    program = edge_dialect(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), X).exported_program("forward")
    assert least_memory_order(program) == Storages(program).nodes


def test_the_same_order_each_time(edge_dialect) -> None:
    orders = [
        names(least_memory_order(edge_dialect(Piling(), X).exported_program("forward"))) for _ in range(2)
    ]
    assert orders[0] == orders[1]


def test_random_operators_keep_their_order(edge_dialect) -> None:
    program = edge_dialect(Drops(), torch.randn(3, 64)).exported_program("forward")
    random = [node for node in program.graph.nodes if "dropout" in node.name and "getitem" not in node.name]
    assert len(random) == 2
    assert random[0] in predecessors(Storages(program).nodes)[random[1]]
    order = least_memory_order(program)
    assert order.index(random[0]) < order.index(random[1])
