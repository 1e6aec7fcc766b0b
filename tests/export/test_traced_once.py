"""Joint graphs are traced once, and are right."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx.experimental import proxy_tensor

from edgetrain.export.joint import add_backward, gradient_names, mutated_buffers


class Loss(nn.Module):
    """Batch norm in training, a frozen weight, two outputs; [B, 3], [B] → a loss, [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.norm(self.hidden(x)) * self.frozen
        return nn.functional.cross_entropy(logits, y), logits.detach()


def test_it_is_traced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model, x, y = Loss(), torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])
    batch = torch.export.Dim("batch", min=2, max=8)
    program = torch.export.export(model, (x, y), dynamic_shapes=({0: batch}, {0: batch}))
    traced, trace = 0, proxy_tensor.dispatch_trace

    def counting(*args: Any, **kwargs: Any) -> Any:
        nonlocal traced
        traced += 1
        return trace(*args, **kwargs)

    monkeypatch.setattr(proxy_tensor, "dispatch_trace", counting)
    joint = add_backward(program)
    assert traced == 1

    assert gradient_names(joint) == ["hidden.weight", "hidden.bias", "norm.weight", "norm.bias"]
    assert mutated_buffers(joint) == ["norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    signature, given = joint.graph_signature, iter((x, y))
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    places = [node.name for node in joint.graph.nodes if node.op == "placeholder"]
    with torch.no_grad():
        outputs = joint.graph_module(
            *(joint.state_dict[names[place]] if place in names else next(given) for place in places)
        )
    loss, _ = model(x, y)
    loss.backward()
    torch.testing.assert_close(outputs[3], loss.detach())
    torch.testing.assert_close(outputs[0], model.norm.running_mean)
    for name, gradient in zip(gradient_names(joint), outputs[-4:], strict=True):
        torch.testing.assert_close(gradient, model.get_parameter(name).grad)
