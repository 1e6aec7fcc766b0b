"""Results in their arguments' memory, in edge-dialect graphs and in the memory plan."""

from __future__ import annotations

import pytest
import torch
from executorch.exir import EdgeCompileConfig, EdgeProgramManager, to_edge
from torch import Tensor, nn
from torch.export import Dim, export

from edgetrain.export.lowering import lower
from edgetrain.export.passes.in_place import in_place
from edgetrain.export.pipeline import Edge, Joint, Lowered, Recipe


class Chain(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.relu(torch.exp(torch.sin(x) + y)) * y


class Kept(nn.Module):
    """sin(x) is needed again: as it is, or through a view."""

    def __init__(self, view: bool) -> None:
        super().__init__()
        self.view = view

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.sin(x)
        other = y.view(-1, 2, 4) if self.view else y
        return torch.relu(y), torch.cos(other)


class Grows(nn.Module):
    """The result is larger than the first argument, or of another type."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sum(torch.sin(x), 1, keepdim=True) + torch.sin(x)


class Input(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x)


def edge_graph(model: nn.Module, *example: Tensor):
    batch = Dim("batch", min=1, max=16)
    program = export(model, example, dynamic_shapes=tuple({0: batch} for _ in example), strict=True)
    return to_edge({"forward": program}, compile_config=EdgeCompileConfig(_check_ir_validity=False))


def shared(edge) -> dict[str, int]:
    nodes = edge.exported_program("forward").graph.nodes
    places = {n.name: n.meta.get("_share_alloc_with_arg_idx") for n in nodes}
    return {name.replace("aten_", "").split("_")[0]: p for name, p in places.items() if p is not None}


def lowered(manager: EdgeProgramManager) -> Lowered:
    return lower(Edge(Joint({}, {}, [], []), manager, {}), Recipe())


X, Y = torch.randn(3, 8), torch.randn(3, 8)


def test_a_chain_lives_in_one_place() -> None:
    edge = edge_graph(Chain(), X, Y)
    assert in_place(edge.exported_program("forward")) == 4
    assert shared(edge) == {"add": 0, "exp": 0, "relu": 0, "mul": 0}
    arena = lowered(edge).arena_bytes["forward"][0]
    assert arena == 3 * 16 * 8 * 4, "two inputs and one result"


@pytest.mark.parametrize("view", [False, True])
def test_what_is_needed_again_stays(view: bool) -> None:
    edge = edge_graph(Kept(view), X)
    assert in_place(edge.exported_program("forward")) == 0


def test_inputs_stay() -> None:
    assert in_place(edge_graph(Input(), X).exported_program("forward")) == 0


def test_only_what_has_the_result_shape() -> None:
    edge = edge_graph(Grows(), X)
    in_place(edge.exported_program("forward"))
    assert shared(edge) == {"add": 1}


@pytest.mark.parametrize("model", [Chain(), Kept(False), Kept(True), Grows()], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("batch", [1, 3, 16])
def test_the_runtime_computes_the_same(model: nn.Module, batch: int) -> None:
    from executorch.extension.pybindings.portable_lib import _load_for_executorch_from_buffer

    example = (X, Y) if isinstance(model, Chain) else (X,)
    edge = edge_graph(model, *example)
    in_place(edge.exported_program("forward"))
    data = lower(
        Edge(Joint({}, {}, [], []), edge, {}), Recipe()
    ).program  # the loaded program reads it where it lies
    program = _load_for_executorch_from_buffer(data)
    given = tuple(torch.randn(batch, 8) for _ in example)
    expected = model(*given)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for found, wanted in zip(program.run_method("forward", given), expected, strict=True):
        torch.testing.assert_close(found, wanted)
