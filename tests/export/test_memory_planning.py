"""Plans of memory: weights that all methods share, updates in their place, and that plans are checked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from executorch.exir import EdgeProgramManager, ExecutorchBackendConfig, memory, to_edge
from torch import Tensor, nn
from torch.export import export
from torch.fx import Graph, GraphModule

from edgetrain.artifacts.program import WEIGHTS_ARENA
from edgetrain.export.memory.planned import check_contents, check_places
from edgetrain.export.memory_planning import SharedWeightsPlanning
from edgetrain.export.passes.onto import ONTO
from edgetrain.upstream.edge import edge_settings

X = torch.randn(3, 4)


class Step(nn.Module):
    """One step of something like momentum, [3, 4] → [3, 4], weight, state."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(4.0))
        self.register_buffer("state", torch.zeros(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = torch.sin(x) * self.weight
        state = self.state + y.mean(0)
        return y, self.weight - state, state


class Weights(nn.Module):
    """() → -state, -weight"""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.weight = step.weight
        self.register_buffer("state", step.state)

    def forward(self) -> tuple[Tensor, Tensor]:
        return -self.state, -self.weight


def two_methods() -> EdgeProgramManager:
    step = Step()
    methods = {"step": export(step, (X,)), "weights": export(Weights(step), ())}
    manager = to_edge(methods, compile_config=edge_settings())
    outputs = manager.exported_program("step").graph.output_node().args[0]
    outputs[1].meta[ONTO], outputs[2].meta[ONTO] = "p_weight", "b_state"
    return manager


def planned(manager: EdgeProgramManager, **arguments: Any) -> tuple[SharedWeightsPlanning, Any]:
    planning = SharedWeightsPlanning(**arguments)
    passes = planning.passes(manager.methods)
    return planning, manager.to_executorch(ExecutorchBackendConfig(memory_planning_pass=passes))


def test_updates_lie_in_the_weights_and_all_methods_see_them() -> None:
    from executorch.runtime import Runtime

    planning, program = planned(two_methods(), mutable=["weight", "state"], from_zero=["state"])
    assert planning.offsets == {"weight": 0, "state": 16}
    assert planning.arena_bytes == 32
    plans = {plan.name: plan for plan in program.executorch_program.execution_plan}
    assert all(plan.non_const_buffer_sizes[WEIGHTS_ARENA] == 32 for plan in plans.values())
    loaded = Runtime.get().load_program(bytes(program.buffer))
    step, weights = loaded.load_method("step"), loaded.load_method("weights")
    weight, state = torch.arange(4.0), torch.zeros(4)
    for seed in range(3):
        x = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
        y = torch.sin(x) * weight
        state = state + y.mean(0)
        weight = weight - state
        found = [tensor.clone() for tensor in step.execute((x,))]
        for tensor, wanted in zip(found, (y, weight, state), strict=True):
            torch.testing.assert_close(tensor, wanted)
        for tensor, wanted in zip(weights.execute(()), (-state, -weight), strict=True):
            torch.testing.assert_close(tensor, wanted)


def test_they_lie_in_the_order_of_their_names() -> None:
    planning, _ = planned(two_methods(), mutable=["state", "weight", "elsewhere"])
    assert planning.offsets == {"state": 0, "weight": 16}


def test_activations_have_their_arena_alone() -> None:
    planning, program = planned(two_methods(), mutable=["weight", "state"])
    plan = next(p for p in program.executorch_program.execution_plan if p.name == "step")
    timeline = planning.timelines["step"]
    assert timeline.arena == plan.non_const_buffer_sizes[1] == timeline.bound == max(timeline.live)
    # The input, what is made of it, and the temporary vectors.
    assert timeline.arena <= 3 * 48 + 2 * 16
    assert {tensor.maker.operator for tensor in timeline.tensors} >= {"x", "sin", "mul", "mean"}
    assert [tensor.kind for tensor in timeline.tensors if tensor.maker.operator == "x"] == ["input"]


def test_results_of_another_shape_cannot_be_written_onto_a_weight() -> None:
    manager = two_methods()
    manager.exported_program("step").graph.output_node().args[0][0].meta[ONTO] = "p_weight"
    with pytest.raises(RuntimeError, match="can't be written onto p_weight"):
        planned(manager, mutable=["weight", "state"])


def test_updates_before_the_last_reader_are_found() -> None:
    manager = two_methods()
    graph = manager.exported_program("step").graph
    read = next(node for node in graph.nodes if "p_weight" in map(str, node.all_input_nodes))
    late = graph.output_node()
    # A further reader of the old contents behind the update.
    with graph.inserting_before(late):
        copied = graph.node_copy(read)
    late.args = ((copied, *late.args[0][1:]),)
    manager.exported_program("step").graph_signature.replace_all_uses(read.name, copied.name)
    with pytest.raises(RuntimeError, match="would read p_weight after something else was written there"):
        planned(manager, mutable=["weight", "state"])


def spec(lifetime: tuple[int, int], offset: int, size: int) -> Any:
    return SimpleNamespace(
        lifetime=list(lifetime), mem_id=1, mem_offset=offset, allocated_memory=size, storage_base=None
    )


@pytest.mark.parametrize(("offset", "start"), [(16, 1), (48, 0), (0, 3)])
def test_tensors_of_one_time_need_places_of_their_own(
    monkeypatch: pytest.MonkeyPatch, offset: int, start: int
) -> None:
    from edgetrain.export.memory import planned as checks

    specs = [spec((0, 2), 0, 32), spec((start, 4), offset, 32)]
    for each in specs:
        each.debug = lambda: "a tensor"
    monkeypatch.setattr(checks, "_storages", lambda graph_module: specs)
    if (offset, start) == (16, 1):
        with pytest.raises(RuntimeError, match="put a tensor over a tensor"):
            check_places(GraphModule({}, Graph()))
    else:
        check_places(GraphModule({}, Graph()))


def test_contents_of_methods_without_operators() -> None:
    graph = Graph()
    x = graph.placeholder("x")
    x.meta["spec"] = spec((0, 1), 0, 16)
    graph.output((x,))
    check_contents(GraphModule({}, graph))
    assert memory.alloc not in {node.target for node in graph.nodes}
