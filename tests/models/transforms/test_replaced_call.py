"""Calls replaced by layers: the rest of the forward stays, and so do names, modes and files."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.artifacts.transforms import Layer, ReplacedCall
from edgetrain.errors import InputError
from edgetrain.models.transforms import apply_transforms
from edgetrain.models.transforms.traced_forward import TracedModule, Untraceable, trace_forward

RELU = Layer(type="ReLU")


class Inner(nn.Module):
    """Calls, a layer, a parameter and a buffer of its own, and things that forward doesn't use."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)
        self.conv = nn.Conv2d(3, 3, 1)
        self.scale = nn.Parameter(torch.randn(3, 1, 1))
        self.register_buffer("shift", torch.randn(3, 1, 1), persistent=False)
        self.register_buffer("count", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.conv(x)) * self.scale + self.shift
        return F.silu(x).sigmoid()


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Inner(), Inner()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def _replaced(model: nn.Module, module: str, *nodes: str, was: str = "torch.nn.functional.silu") -> nn.Module:
    records = [
        ReplacedCall(module=module, node=node, was=was, name=f"relu{i}", by=RELU)
        for i, node in enumerate(nodes)
    ]
    return apply_transforms(model, records)


def _expected(inner: Inner, x: Tensor, first: bool = True, second: bool = True) -> Tensor:
    x = (F.relu if first else F.silu)(inner.conv(x)) * inner.scale + inner.shift
    return (F.relu if second else F.silu)(x).sigmoid()


def test_only_that_call_is_replaced() -> None:
    torch.manual_seed(0)
    model, x = Outer(), torch.randn(2, 3, 4, 4)
    names = list(model.state_dict())
    changed = _replaced(model, "second", "silu_1")
    assert changed is model
    assert type(model.first) is Inner
    assert isinstance(model.second, TracedModule)
    torch.testing.assert_close(model.second(x), _expected(model.second, x, first=False))  # type: ignore[arg-type]
    assert list(model.state_dict()) == names


def test_the_model_itself() -> None:
    torch.manual_seed(0)
    model, x = Inner(), torch.randn(2, 3, 4, 4)
    changed = _replaced(model, "", "silu", "silu_1")
    assert changed is not model
    torch.testing.assert_close(changed(x), _expected(model, x))
    assert [n for n, _ in changed.named_children()] == ["unused", "conv", "relu0", "relu1"]
    assert changed.get_parameter("unused.weight") is model.unused.weight


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_whole(copied) -> None:
    torch.manual_seed(0)
    model = _replaced(Inner(), "", "silu").eval()
    other, x = copied(model), torch.randn(2, 3, 4, 4)
    assert torch.equal(other(x), model(x))
    assert not other.training
    assert list(other.state_dict()) == list(model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(other.buffers(), model.buffers(), strict=True))
    with torch.no_grad():
        other.get_parameter("scale").zero_()
    assert model.get_parameter("scale").abs().sum() > 0
    again = copy.deepcopy(other)
    assert list(again.state_dict()) == list(model.state_dict())


@pytest.mark.parametrize("strict", [True, False])
def test_it_can_be_exported(strict: bool) -> None:
    torch.manual_seed(0)
    model, x = _replaced(Outer(), "first", "silu").eval(), torch.randn(2, 3, 4, 4)
    program = torch.export.export(model, (x,), strict=strict)
    torch.testing.assert_close(program.module()(x), model(x))


def test_mode_and_dtype_of_the_new_layer() -> None:
    model = Outer().double()
    model.first.eval()
    by = Layer(type="PReLU")
    for module in ("first", "second"):
        record = ReplacedCall(module=module, node="silu", was="torch.nn.functional.silu", name="new", by=by)
        apply_transforms(model, [record])
    assert model.first.new.weight.dtype == torch.float64
    assert (model.first.new.training, model.second.new.training) == (False, True)
    assert (model.first.training, model.second.training) == (False, True)


@pytest.mark.parametrize(
    ("node", "was"), [("silu_7", "torch.nn.functional.silu"), ("silu", "torch.nn.functional.gelu")]
)
def test_another_forward_is_refused(node: str, was: str) -> None:
    with pytest.raises(InputError, match="has changed since its call"):
        _replaced(Outer(), "first", node, was=was)


class Drops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(F.silu(x), 0.5, self.training) + F.dropout(x, 0.25, training=True)


class ByMode(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x) if self.training else x


class Optional(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None, scale: float = 2.0) -> Tensor:
        return F.silu(x if mask is None else x * mask) * scale


class Passed(nn.Module):
    """A second argument that is used the same way, whatever it is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Bilinear(2, 2, 2)

    def forward(self, x: Tensor, other: Tensor | None = None, scale: float = 2.0) -> Tensor:
        return F.silu(self.conv(x, other)) * scale


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x) if x.sum() > 0 else x


class AnyNumber(nn.Module):
    def forward(self, *x: Tensor) -> Tensor:
        return F.silu(x[0])


class Own(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x)


def _hooked() -> nn.Module:
    module = Own()
    module.register_forward_hook(lambda *_: None)
    return module


def _patched() -> nn.Module:
    module = Own()
    module.forward = lambda x: x  # type: ignore[method-assign]
    return module


def test_dropout_follows_the_mode() -> None:
    trace = trace_forward(Drops())
    # The other one is always on, and no layer.
    assert trace.by_mode == ("dropout",)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (ByMode, "something else while training"),
        (Optional, "whether 'mask' is given"),
        (Branches, "can't trace"),
        (AnyNumber, "any number of arguments"),
        (_hooked, "hooks"),
        (_patched, "in place of that of its class"),
    ],
)
def test_what_a_graph_would_get_wrong(make, reason: str) -> None:
    with pytest.raises(Untraceable, match=reason):
        trace_forward(make())


def test_arguments_that_are_only_passed_on() -> None:
    assert trace_forward(Passed()).by_mode == ()


def test_modes_are_left_as_they_were() -> None:
    model = nn.Sequential(Drops(), Own())
    model[0].eval()
    trace_forward(model[0])
    assert [m.training for m in model.modules()] == [True, False, True]
