"""Finding out what a model takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from convert_models import make
from torch import Tensor, nn

from edgetrain.artifacts.specs import INPUTS, Preprocessing, TensorSpec
from edgetrain.convert.shapes import find_inputs, shape_text
from edgetrain.convert.source import Source
from edgetrain.convert.specs import ModelInput
from edgetrain.errors import InputError, UsageError


def _source(model: nn.Module) -> Source:
    return Source("test", model.eval(), model.state_dict())


def _found(model: nn.Module) -> str:
    ((name, spec),) = find_inputs(_source(model), [], "net.pt").items()
    assert name == INPUTS
    return shape_text(spec)


def test_sizes_that_only_one_input_has() -> None:
    assert _found(nn.Sequential(nn.Linear(7, 3), nn.ReLU(), nn.Linear(3, 2))) == "7"
    assert _found(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 19 * 19, 2))) == "3,21,21"
    assert _found(nn.Sequential(nn.Conv1d(2, 4, 5), nn.Flatten(), nn.Linear(4 * 1234, 2))) == "2,1238"


def test_scripted_modules_as_well() -> None:
    model = torch.jit.script(nn.Sequential(nn.Conv1d(2, 4, 5), nn.Flatten(), nn.Linear(4 * 100, 2)))
    assert _found(model) == "2,104"


def test_views_instead_of_flatten() -> None:
    class View(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 6, 5)
            self.head = nn.Linear(6 * 10 * 10, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.conv(x).view(-1, 600))

    assert _found(View()) == "1,14,14"


@pytest.mark.parametrize(
    ("model", "listed"),
    [
        ("Images", "takes inputs of several shapes: 3,12,12, 3,13,13; choose with --input-shape 3,13,13"),
        ("Seizures", "1,60, 1,61, 1,62, 1,63; choose"),
        ("Recurrent", r"4,4, 8,4, 12,4, 16,4, 24,4, 32,4 and \d+ more; choose"),
        ("mobilenet", "several shapes, among them 3,128,128, 3,256,256; choose with --input-shape 3,256,256"),
    ],
)
def test_several_sizes_are_listed(model: str, listed: str) -> None:
    with pytest.raises(UsageError, match=listed):
        find_inputs(_source(make(model)), [], "net.pt")


def test_models_of_any_size_are_run_twice() -> None:
    """Large images take long, and two sizes say as much as five hundred."""

    class Counted(nn.Conv2d):
        runs = 0

        def forward(self, x: Tensor) -> Tensor:
            self.runs += 1
            return super().forward(x)

    model = Counted(1, 2, 3, padding=1)
    with pytest.raises(UsageError, match="among them 1,128,128, 1,256,256; choose"):
        find_inputs(_source(model), [], "net.pt")
    assert model.runs == 2


def test_modules_of_another_version_of_their_code() -> None:
    """An attribute that the class gives its objects today was unknown when this one was saved."""
    model = nn.Sequential(nn.Linear(3, 4), nn.GELU())
    del model[1].approximate
    source = Source("pickled module", model.eval(), model.state_dict())
    for given in ([], [TensorSpec(shape=(3,))]):
        with pytest.raises(
            InputError, match=r"another version of its code .*'GELU'.* no attribute 'approx.*--model"
        ):
            find_inputs(source, given, "net.pt")


def test_models_that_take_other_objects() -> None:
    class Graphs(nn.Linear):
        def forward(self, graph: Any) -> Tensor:
            return super().forward(graph.nodes)

    with pytest.raises(
        UsageError, match=r"fails on the inputs .*'nodes'; it takes other objects than tensors"
    ):
        find_inputs(_source(Graphs(3, 2)), [TensorSpec(shape=(3,))], "net.pt")
    with pytest.raises(UsageError, match="can't be told from its weights"):
        find_inputs(_source(Graphs(3, 2)), [], "net.pt")


def test_a_first_weight_that_says_nothing() -> None:
    with pytest.raises(
        UsageError, match="can't be told from its weights; say so, as in --input-shape 3,32,32"
    ):
        find_inputs(_source(nn.Identity()), [], "net.pt")


class Pair(nn.Module):
    """[B, 3] and [B, 2] → [B, 1]."""

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left.sum(1, keepdim=True) * right.sum(1, keepdim=True)


def test_several_inputs_have_the_names_of_the_code() -> None:
    given = [TensorSpec(shape=(3,)), TensorSpec(shape=(2,))]
    for model in (
        Pair(),
        torch.jit.script(Pair()),
        torch.jit.trace(Pair(), (torch.ones(2, 3), torch.ones(2, 2))),
    ):
        assert list(find_inputs(_source(model), given, "net.pt")) == ["left", "right"]
    wrapped = Source("test", lambda *tensors: Pair()(*tensors), {})
    assert list(find_inputs(wrapped, given, "net.pt")) == ["input0", "input1"]


def test_given_shapes_keep_names_and_preparation() -> None:
    own = {"image": ModelInput((3, 9, 9), preprocessing=Preprocessing(scale=1 / 255))}
    source = Source("test", make("Images").eval(), {}, inputs=own)
    found = find_inputs(source, [TensorSpec(shape=(3, 12, 12))], "net.pt")
    assert found == {"image": replace(own["image"], shape=(3, 12, 12))}


def test_given_shapes_are_tried() -> None:
    given = [TensorSpec(shape=(3, 9, 9))]
    with pytest.raises(
        UsageError, match=r"fails on the inputs --input-shape says, 3,9,9: .*shapes cannot be"
    ):
        find_inputs(_source(make("Images")), given, "net.pt")
