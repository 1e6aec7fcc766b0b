"""The step: all graphs ordered, and whole programs that still compute the same in the runtime."""

from __future__ import annotations

import export_models as models
import torch

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.config.stages import ExportCommand
from edgetrain.export.batches import Batch
from edgetrain.export.capture import capture
from edgetrain.export.edge import to_edge_dialect
from edgetrain.export.joint import make_joint
from edgetrain.export.lowering import lower
from edgetrain.export.memory.liveness import Storages
from edgetrain.export.passes.in_place import in_place
from edgetrain.export.pipeline import Recipe
from edgetrain.export.steps.order import order
from edgetrain.models.cifar_cnn import CifarCNN


def test_a_program_in_another_order_computes_the_same() -> None:
    from executorch.runtime import Runtime

    torch.manual_seed(0)
    model = CifarCNN(image_size=8, num_classes=4, dropout=0.0)
    x, y = torch.randn(3, 3, 8, 8), torch.tensor([1, 3, 0])
    subject = models.subject(model, (3, 8, 8), max_batch_size=4)
    results, arenas, orders = [], [], []
    for ordered in (False, True):
        captured = capture(subject, Batch({INPUTS: x}, {TARGETS: y}))
        edge = to_edge_dialect(make_joint(captured), Recipe(training=True), "test")
        if ordered:
            edge = order(edge, ExportCommand())
        programs = {name: edge.manager.exported_program(name) for name in edge.manager.methods}
        orders.append([node.name for node in programs["train"].graph.nodes])
        peaks = {name: Storages(program).peak() for name, program in programs.items()}
        for program in programs.values():
            in_place(program)
        lowered = lower(edge, Recipe(training=True))
        assert {name: timeline.bound for name, timeline in lowered.timelines.items()} == peaks
        arenas.append(lowered.arena_bytes["train"][0])
        train = Runtime.get().load_program(lowered.program).load_method("train")
        results.append([tensor.clone() for tensor in train.execute((x, y))])
    assert arenas[1] < arenas[0]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    for found, wanted in zip(*results, strict=True):
        assert torch.equal(found, wanted)
