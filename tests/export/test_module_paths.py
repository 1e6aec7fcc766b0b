"""Nodes know the module they come from, all the way to the edge dialect."""

from __future__ import annotations

import export_models as models
import pytest
import torch
from torch.export import ExportedProgram

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.errors import CheckFailedError
from edgetrain.export.batches import Batch
from edgetrain.export.capture import capture
from edgetrain.export.edge import to_edge_dialect
from edgetrain.export.joint import make_joint
from edgetrain.export.module_paths import module_path
from edgetrain.export.pipeline import Edge, Recipe
from edgetrain.export.preflight import check_captured, check_operators
from edgetrain.export.recipes import training_recipe

aten = torch.ops.aten
SHAPE = models.SHAPES[models.Normalised]


def paths(program: ExportedProgram, name: str) -> list[str]:
    """Where the operators come from whose names contain `name`."""
    return [module_path(n) for n in program.graph.nodes if n.op == "call_function" and name in str(n.target)]


@pytest.fixture(scope="module", params=["direct", "im2col"])
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return training_recipe(models.command(convolutions=request.param))


@pytest.fixture(scope="module")
def edge(recipe: Recipe) -> Edge:
    """A convolution, batch norm, dropout and a linear layer with their gradients."""
    torch.manual_seed(0)
    subject = models.subject(models.Normalised(), SHAPE, max_batch_size=4)
    batch = Batch({INPUTS: torch.randn(3, *SHAPE)}, {TARGETS: torch.tensor([1, 3, 0])})
    joint = make_joint(capture(subject, batch))
    assert paths(joint.graphs["train"], "convolution_backward") == ["conv (Conv2d)"]
    for step in recipe.steps.joint:
        joint = step(joint)
    return to_edge_dialect(joint, recipe, "test")


def test_in_all_methods(edge: Edge) -> None:
    for method in ("train", "evaluate", "predict"):
        program = edge.manager.exported_program(method)
        known = [
            module_path(n) for n in program.graph.nodes if n.op == "call_function" and "aten" in str(n.target)
        ]
        assert {"conv (Conv2d)", "head (Linear)", "the model itself (Normalised)"} <= set(known), method


def test_in_the_backward_graph(edge: Edge) -> None:
    train = edge.manager.exported_program("train")
    assert set(paths(train, "native_dropout")) >= {"drop (Dropout)"}
    assert set(paths(train, "linear")) == {"head (Linear)"}
    # x^T g and g W, both of the head.
    assert paths(train, "aten.mm.default") == ["head (Linear)"] * 2


def test_what_is_missing_is_named_with_its_module(edge: Edge, recipe: Recipe) -> None:
    available = {"aten::linear.out"}
    with pytest.raises(CheckFailedError, match=r"no kernel for the mm \(in head \(Linear\)\)") as caught:
        check_operators(edge, recipe, "test", available)
    assert "no kernel for the max_pool2d (in the model itself (Normalised))" in str(caught.value)
    assert "the linear" not in str(caught.value)
    # What has no forward isn't helped by freezing, which its backward would advise.
    assert "backward of convolution" not in str(caught.value)
    with pytest.raises(CheckFailedError, match=r"test uses .*mm \(in head \(Linear\)\).*replace these"):
        check_operators(edge, Recipe(), "test", available)


def test_a_spectrogram_in_the_model_belongs_before_it() -> None:
    class Spectrogram(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stft(x, 8, window=torch.ones(8), return_complex=True).abs()

    program = torch.export.export(Spectrogram(), (torch.zeros(2, 32),))
    with pytest.raises(CheckFailedError, match="compute the transform before the model"):
        check_captured(program)
