"""What kinds of programs are made, and by which steps."""

from __future__ import annotations

from dataclasses import replace

import export_models as models
import pytest
import torch

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.config.stages import ExportCommand
from edgetrain.export import steps
from edgetrain.export.batches import Batch
from edgetrain.export.capture import capture, export_graph
from edgetrain.export.pipeline import Captured, Joint, Recipe
from edgetrain.export.planning import lower_captured
from edgetrain.export.recipes import inference_recipe, training_recipe

SHAPE = models.SHAPES[models.Signals]


def captured() -> Captured:
    torch.manual_seed(0)
    batch = Batch({INPUTS: torch.randn(3, *SHAPE)}, {TARGETS: torch.tensor([1, 3, 0])})
    return capture(models.subject(models.Signals(), SHAPE, max_batch_size=4), batch)


def named(recipe: Recipe) -> set[str]:
    """The steps of a recipe, by the names of their functions."""
    chosen = (*recipe.steps.captured, *recipe.steps.joint, *recipe.steps.edge)
    return {step.func.__name__ for step in chosen}  # type: ignore[attr-defined]


def test_programs_that_train() -> None:
    recipe = training_recipe(models.command())
    assert recipe.external
    assert recipe.training
    own = {"optimizer_in_graph", "update_in_graph"}
    assert named(recipe) >= {"maskable_dropout", "cheaper", "weights_method", "order", "reused_memory", *own}
    outside = training_recipe(models.command(update_in_graph="off"))
    assert named(recipe) - named(outside) == own
    other = training_recipe(models.command(weights="inline", convolutions="im2col"))
    assert named(other) - named(recipe) == {"without_convolutions"}
    assert not other.external


def test_weights_inside_or_outside() -> None:
    recipe = training_recipe(models.command())
    graphs = captured()
    outside, inside = (lower_captured(graphs, replace(recipe, external=e), "test") for e in (True, False))
    weight = outside.edge.tensors["head.weight"].numpy().tobytes()
    assert weight in inside.program
    assert weight not in outside.program
    assert set(outside.edge.tensors) == set(dict(models.Signals().named_parameters()))


@pytest.mark.parametrize(("backend", "delegated"), [("portable", False), ("xnnpack", True)])
def test_programs_for_inference(backend: str, delegated: bool) -> None:
    model = models.Signals().eval()
    graph = export_graph(model, (torch.randn(3, *SHAPE),), 4, strict=False)
    lowered = lower_captured(Captured({"forward": graph}, {}), inference_recipe(backend), "test")  # type: ignore[arg-type]
    assert lowered.program[4:8] == b"ET12"
    assert list(lowered.operators) == ["forward"]
    assert len(lowered.arena_bytes["forward"]) == 1, "no weights' arena where none changes"
    assert ("aten::convolution.out" not in lowered.operators["forward"]) == delegated


def test_a_step_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One function and one line in the list."""

    def without_evaluate(joint: Joint, command: ExportCommand) -> Joint:
        graphs = {name: graph for name, graph in joint.graphs.items() if name != "evaluate"}
        return replace(joint, graphs=graphs)

    choice = steps.Choice(without_evaluate, lambda command: command.export.max_batch_size == 4)
    monkeypatch.setattr(steps, "ON_JOINT", (*steps.ON_JOINT, choice))
    assert "without_evaluate" not in named(training_recipe(models.command()))
    lowered = lower_captured(captured(), training_recipe(models.command(max_batch_size=4)), "test")
    assert set(lowered.operators) == {"train", "gradients", "predict", "weights"}
