"""The model of memory: storages, sizes, lifetimes; and that planning comes to the same."""

from __future__ import annotations

import export_models as models
import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.export.batches import Batch
from edgetrain.export.capture import capture
from edgetrain.export.edge import to_edge_dialect
from edgetrain.export.joint import make_joint
from edgetrain.export.lowering import lower
from edgetrain.export.memory.liveness import Storages, is_alias, tensor_bytes
from edgetrain.export.passes.in_place import in_place
from edgetrain.export.pipeline import Recipe


class Views(nn.Module):
    """A view, a result among several, and a view that is returned. [B, 4, 4] → [B, 16], [B, 4, 2]"""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.sin(x)
        pooled, _ = nn.functional.max_pool1d_with_indices(y, 2)
        return torch.cos(y.view(-1, 16)).view(-1, 16), pooled


class Updated(nn.Module):
    """[B, 4] → the weight's next contents, [B, 4]"""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.weight - x.mean(0), torch.sin(x * self.weight)


def named(storages: Storages, part: str):
    return next(node for node in storages.nodes if part in node.name)


def test_sizes_are_those_of_the_largest_batch(edge_dialect) -> None:
    program = edge_dialect(Views(), torch.randn(3, 4, 4)).exported_program("forward")
    storages = Storages(program)
    sine = named(storages, "sin")
    assert tensor_bytes(sine.meta["val"]) == 16 * 16 * 4
    assert [storages.sizes[s] for s in storages.made[sine]] == [16 * 16 * 4]
    assert tensor_bytes(torch.zeros(3)) == 16, "whole units of 16 bytes"
    assert tensor_bytes(None) == 0


def test_aliases_share_storage(edge_dialect) -> None:
    program = edge_dialect(Views(), torch.randn(3, 4, 4)).exported_program("forward")
    storages = Storages(program)
    aliases = [node for node in storages.nodes if is_alias(node)]
    assert aliases
    for node in aliases:
        assert not storages.made[node]
        assert set(storages.of[node]) <= set(storages.of[node.args[0]])
    outputs = program.graph.output_node().args[0]
    assert storages.returned == {s for node in outputs for s in storages.of[node]}
    assert not is_alias(outputs[0]) or "getitem" in outputs[0].name


def test_weights_and_what_is_written_onto_them_lie_elsewhere(edge_dialect) -> None:
    manager = edge_dialect(Updated(), torch.randn(3, 4), onto={0: "weight"})
    program = manager.exported_program("forward")
    storages = Storages(program)
    weight, (written, result) = named(storages, "p_weight"), program.graph.output_node().args[0]
    assert storages.of[weight] == storages.of[written] == []
    assert storages.returned == set(storages.of[result])


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(models.Signals, marks=pytest.mark.thorough),
        pytest.param(models.Pools, marks=pytest.mark.thorough),
        models.Normalised,
        pytest.param(models.Attention, marks=pytest.mark.thorough),
    ],
)
def test_the_planned_bound_is_the_modelled_peak(kind: type[nn.Module]) -> None:
    subject = models.subject(kind(), models.SHAPES[kind], max_batch_size=4)
    batch = Batch({INPUTS: torch.randn(3, *models.SHAPES[kind])}, {TARGETS: torch.tensor([1, 3, 0])})
    edge = to_edge_dialect(make_joint(capture(subject, batch)), Recipe(training=True), "test")
    modelled = {}
    for name in edge.manager.methods:
        program = edge.manager.exported_program(name)
        modelled[name] = Storages(program).peak()
        in_place(program)
    lowered = lower(edge, Recipe(training=True))
    planned = {name: timeline.bound for name, timeline in lowered.timelines.items()}
    assert planned == modelled
    assert planned.keys() == edge.manager.methods
