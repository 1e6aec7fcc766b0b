"""What a model's forward does besides returning outputs."""

from __future__ import annotations

import copy

import export_models as models
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.errors import CheckFailedError
from edgetrain.export.batches import batch_maker
from edgetrain.export.capture import capture
from edgetrain.export.effects import check_effects
from edgetrain.export.joint import make_joint


class Average(nn.Module):
    """Follows its inputs by a moving average: [B, 5] → [B, 4]."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.inner = nn.Module()
        self.inner.register_buffer("mean", torch.zeros(5))
        self.register_buffer("unknown", torch.full((2,), float("nan")))
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        mean = self.inner.mean
        assert isinstance(mean, Tensor)
        if self.training or self.how == "always":
            if self.how == "replaced":
                self.inner.mean = 0.9 * mean + 0.1 * x.mean(0)
            else:
                mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
        return self.head(x - mean)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("replaced", r"another tensor in the place of its buffer inner\.mean .*self\.mean\.copy_"),
        ("always", r"writes its buffer inner\.mean in evaluation, too"),
        ("written", None),
    ],
)
def test_buffers_that_change(how: str, message: str | None) -> None:
    model = Average(how)
    before, buffer = copy.deepcopy(model.state_dict()), model.inner.mean
    subject = models.subject(model, (5,))
    batch = batch_maker(subject)(0, 3)
    model.load_state_dict(before)
    if message is None:
        check_effects(subject, batch)
    else:
        with pytest.raises(CheckFailedError, match=message):
            check_effects(subject, batch)
    assert model.inner.mean is buffer or how == "replaced"
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0, equal_nan=True)


class Clamped(nn.Module):
    """Its weight is clamped whenever it is used: [B, 5] → [B, 4]."""

    def __init__(self, *, written: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 5))
        self.written = written

    def forward(self, x: Tensor) -> Tensor:
        if self.written:
            with torch.no_grad():
                self.weight.clamp_(-0.5, 0.5)
        weight = self.weight.clone()
        weight.t()[1].clamp_(-0.1, 0.1)
        return F.linear(x, weight)


def test_parameters_that_are_written() -> None:
    subject = models.subject(Clamped(written=True), (5,))
    captured = capture(subject, batch_maker(subject)(0, 3))
    with pytest.raises(CheckFailedError, match="the model writes into weight while it computes with it"):
        make_joint(captured)


def test_copies_of_parameters_may_be_written() -> None:
    """Their gradient begins with a tensor of given strides, which the runtime has no kernel for."""
    model = Clamped(written=False)
    subject = models.subject(model, (5,))
    batch = batch_maker(subject)(0, 3)
    joint = make_joint(capture(subject, batch)).graphs["train"]
    targets = {str(node.target) for node in joint.graph.nodes if node.op == "call_function"}
    assert not [name for name in targets if "strided" in name]
    loss = F.cross_entropy(model(batch.inputs["inputs"]), batch.targets["targets"])
    (expected,) = torch.autograd.grad(loss, [model.weight])
    inputs = [joint.state_dict.get(s.target or "") for s in joint.graph_signature.input_specs[:1]]
    constants = [joint.constants[s.target] for s in joint.graph_signature.input_specs[1:] if s.target]
    *_, found = torch.fx.Interpreter(joint.graph_module).run(*inputs, *constants, *batch.tensors)
    torch.testing.assert_close(found, expected)
