"""Where graphs are cut, and that both sides together are the model."""

from __future__ import annotations

import copy
from collections.abc import Callable

import export_models as models
import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.specs import INPUTS
from edgetrain.errors import UsageError
from edgetrain.export.backbone import EagerHead, Frontier, backbone_of, find_frontier, head_of
from edgetrain.export.batches import batch_maker
from edgetrain.export.capture import capture
from edgetrain.export.pipeline import Captured

BATCH = 4
Cut = tuple[Captured, Frontier]


class Residual(nn.Module):
    """Layers that write in place, a sum over a detour, a view by the size of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU6(inplace=True))
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = nn.functional.max_pool2d(x + self.second(x), 2)
        return self.head(self.drop(x.view(x.size(0), -1)))


class DropoutWithin(Residual):
    """Dropout before a frozen layer."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Linear(8 * 16, 8 * 16)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = nn.functional.max_pool2d(x + self.second(x), 2).flatten(1)
        return self.head(torch.relu(self.middle(self.drop(x))))


class Branches(Residual):
    """What the head takes from two places, and writes into one of them."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        z = self.second(y)
        y = nn.functional.max_pool2d(y, 2)
        y += self.drop(nn.functional.max_pool2d(z, 2))
        return self.head(y.flatten(1))


class Overwritten(Residual):
    """A tensor that is changed behind the back of a view of it."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        flat = nn.functional.max_pool2d(y, 2).flatten(1)
        z = flat.view(-1, 8, 16)
        flat.mul_(2.0)
        return self.head(z.flatten(1))


def cut(model: nn.Module, trained: Callable[[str], bool], shape: tuple[int, ...] = (3, 8, 8)) -> Cut:
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(trained(name))
    subject = models.subject(model, shape, max_batch_size=8)
    captured = capture(subject, batch_maker(subject)(0, BATCH))
    return captured, find_frontier(captured.graphs, captured.signatures, "--backbone xnnpack")


def of_head(name: str) -> bool:
    return name.startswith("head")


@pytest.mark.parametrize(
    ("kind", "trained", "features", "held"),
    [
        (Residual, of_head, [[128]], {"head.weight", "head.bias"}),
        (
            Residual,
            lambda name: name.startswith(("second", "head")),
            [[8, 8, 8]],
            {"second.0.weight", "second.0.bias", "head.weight", "head.bias"},
        ),
        (
            DropoutWithin,
            of_head,
            [[128]],
            {"middle.weight", "middle.bias", "head.weight", "head.bias"},
        ),
        (Branches, of_head, [[8, 4, 4], [8, 4, 4]], {"head.weight", "head.bias"}),
    ],
)
def test_backbone_and_head_are_the_model(
    kind: type[nn.Module], trained: Callable[[str], bool], features: list[list[int]], held: set[str]
) -> None:
    torch.manual_seed(0)
    model = kind()
    captured, frontier = cut(model, trained)
    backbone = backbone_of(captured.graphs["predict"], frontier, "predict")
    x = torch.randn(5, 3, 8, 8)
    found = backbone.module()(x)
    assert [list(feature.shape[1:]) for feature in found] == features
    assert frontier.names == ["features", "features1"][: len(features)]
    for method, program in captured.graphs.items():
        head, taken = head_of(program, frontier, method)
        assert taken == frontier.names
        assert set(head.state_dict) == held
        inputs = [n for n in head.graph.nodes if n.op == "placeholder" and n.name == "tensors_0"]
        assert not inputs, method
    head, _ = head_of(captured.graphs["predict"], frontier, "predict")
    before = [feature.clone() for feature in found]
    outputs = EagerHead(head, ["output"])(*found)
    torch.testing.assert_close(outputs["output"], model.eval()(x), rtol=0, atol=1e-6)
    for feature, kept in zip(found, before, strict=True):
        assert torch.equal(feature, kept), "a method wrote into what it was given"


def test_eager_head_trains_like_the_model() -> None:
    torch.manual_seed(0)
    model = Residual()
    captured, frontier = cut(model, of_head)
    head = EagerHead(head_of(captured.graphs["predict"], frontier, "predict")[0], ["output"])
    assert {n for n, p in head.named_parameters() if p.requires_grad} == {"head.weight", "head.bias"}
    x, y = torch.randn(3, 3, 8, 8), torch.tensor([0, 1, 2])
    features = backbone_of(captured.graphs["predict"], frontier, "predict").module()(x)
    nn.functional.cross_entropy(head(*features)["output"], y).backward()
    nn.functional.cross_entropy(model.eval()(x), y).backward()
    torch.testing.assert_close(head.get_parameter("head.weight").grad, model.head.weight.grad)
    exact = copy.deepcopy(head).double()
    assert exact(*(feature.double() for feature in features))["output"].dtype == torch.float64


def test_what_is_overwritten_stays_where_it_is() -> None:
    torch.manual_seed(0)
    model = Overwritten()
    captured, frontier = cut(model, of_head)
    x = torch.randn(5, 3, 8, 8)
    found = backbone_of(captured.graphs["predict"], frontier, "predict").module()(x)
    outputs = EagerHead(head_of(captured.graphs["predict"], frontier, "predict")[0], ["output"])(*found)
    torch.testing.assert_close(outputs["output"], model.eval()(x), rtol=0, atol=1e-6)


def test_features_are_not_called_what_samples_are() -> None:
    model = Residual()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(of_head(name))
    subject = models.subject(model, (3, 8, 8), max_batch_size=8)
    captured = capture(subject, batch_maker(subject)(0, BATCH))
    renamed = {
        method: type(signature)(
            [a.model_copy(update={"name": "features"}) if a.name == INPUTS else a for a in signature.inputs],
            signature.outputs,
        )
        for method, signature in captured.signatures.items()
    }
    assert find_frontier(captured.graphs, renamed, "--backbone xnnpack").names == ["backbone_features"]


@pytest.mark.parametrize("trained", [lambda name: True, lambda name: name.startswith("first.0")])
def test_nothing_is_frozen_before(trained: Callable[[str], bool]) -> None:
    with pytest.raises(UsageError, match=r"there are none before first\.0\.weight; .*--update head"):
        cut(Residual(), trained)
