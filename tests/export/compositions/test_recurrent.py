"""Recurrent layers, by an operator or written out: what they compute, what their graph is made of, what they
learn."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import export_models as models
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.export.batches import Batch
from edgetrain.export.capture import LossStep, export_graph
from edgetrain.export.compositions import COMPOSITIONS, WITH_OWN_OPERATORS
from edgetrain.export.joint import add_backward, gradient_names
from edgetrain.export.passes import SIMPLIFICATIONS
from edgetrain.export.steps.composed import compose
from edgetrain.tasks import make_task

aten = torch.ops.aten
STEPS = 5
LAYERS: dict[str, tuple[type[nn.RNNBase], Any, dict[str, Any]]] = {
    "lstm": (nn.LSTM, aten.lstm.input, {}),
    "lstm-deep": (nn.LSTM, aten.lstm.input, {"num_layers": 2, "bidirectional": True}),
    "lstm-projected": (nn.LSTM, aten.lstm.input, {"proj_size": 3, "bidirectional": True}),
    "lstm-without-bias": (nn.LSTM, aten.lstm.input, {"bias": False}),
    "gru": (nn.GRU, aten.gru.input, {"num_layers": 2, "bidirectional": True}),
    "gru-without-bias": (nn.GRU, aten.gru.input, {"bias": False}),
    "rnn": (nn.RNN, aten.rnn_tanh.input, {"bidirectional": True}),
    "rnn-relu": (nn.RNN, aten.rnn_relu.input, {"nonlinearity": "relu", "bias": False}),
}


def layer(name: str, **further: Any) -> tuple[nn.RNNBase, Any]:
    torch.manual_seed(0)
    kind, operator, settings = LAYERS[name]
    return kind(5, 7, **settings, **further), operator


class Classifier(nn.Module):
    """[B, 5, 5] → [B, 4], by the last outputs of a recurrent layer."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.rnn, _ = layer(name, batch_first=True)
        width = (self.rnn.proj_size or 7) * (2 if self.rnn.bidirectional else 1)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


def settings_of(rnn: nn.RNNBase, *, train: bool) -> tuple[Any, ...]:
    weights = [weight for _, weight in rnn.named_parameters()]
    return (
        weights,
        rnn.bias,
        rnn.num_layers,
        rnn.dropout,
        train,
        rnn.bidirectional,
        rnn.batch_first,
    )


def gradients_of(joint: ExportedProgram, batch: Batch) -> dict[str, Tensor]:
    """By parameter, from a joint graph."""
    signature, given = joint.graph_signature, iter(batch.tensors)
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names |= signature.inputs_to_lifted_tensor_constants
    tensors = {**joint.state_dict, **joint.constants}
    places = [node.name for node in joint.graph.nodes if node.op == "placeholder"]
    with torch.no_grad():
        outputs = joint.graph_module(
            *(tensors[names[place]] if place in names else next(given) for place in places)
        )
    trained = gradient_names(joint)
    names = [name.removeprefix("model.") for name in trained]
    return dict(zip(names, outputs[-len(trained) :], strict=True))


TABLES = {"fused": WITH_OWN_OPERATORS, "unrolled": COMPOSITIONS}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("how", TABLES)
def test_they_compute_what_pytorch_does(how: str, name: str, batch_first: bool) -> None:
    rnn, operator = layer(name, batch_first=batch_first)
    rnn = rnn.double()
    rows, samples = rnn.num_layers * (2 if rnn.bidirectional else 1), 3 if batch_first else 6
    for steps in (6, 1):
        x = torch.randn(*((3, steps) if batch_first else (steps, 6)), 5, dtype=torch.float64)
        x.requires_grad_()
        states = [
            torch.randn(rows, samples, size, dtype=torch.float64, requires_grad=True)
            for size in (rnn.proj_size or 7, 7)
        ]
        states = states if name.startswith("lstm") else states[:1]
        given = tuple(states) if name.startswith("lstm") else states[0]
        outputs, last = rnn(x, given)
        expected = [outputs, *(last if isinstance(last, tuple) else [last])]
        found = list(TABLES[how][operator](x, given, *settings_of(rnn, train=True)))
        leaves, seed = [x, *rnn.parameters(), *states], torch.Generator().manual_seed(1)
        grads = [torch.randn(e.shape, generator=seed, dtype=torch.float64) for e in expected]
        theirs, ours = (torch.autograd.grad(of, leaves, grads) for of in (expected, found))
        for one, other in zip([*found, *ours], [*expected, *theirs], strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("how", TABLES)
def test_dropout_is_between_layers(how: str) -> None:
    """PyTorch's own way of writing these layers out leaves it out."""
    rnn, operator = layer("gru", dropout=0.5)
    x, state = torch.randn(STEPS, 3, 5), torch.zeros(4, 3, 7)
    torch.manual_seed(1)
    expected = rnn(x, state)[0]
    torch.manual_seed(1)
    found = TABLES[how][operator](x, state, *settings_of(rnn, train=True))[0]
    torch.testing.assert_close(found, expected)
    still = TABLES[how][operator](x, state, *settings_of(rnn, train=False))[0]
    assert not torch.allclose(still, expected)


# Others show what these do.
EVERY_DAY = {"unrolled": ("lstm-projected", "gru"), "fused": ("lstm-deep", "gru", "rnn-relu")}


@pytest.mark.parametrize(
    ("how", "name"),
    [
        pytest.param(how, n, marks=() if n in EVERY_DAY[how] else pytest.mark.thorough)
        for how in TABLES
        for n in LAYERS
        if how == "unrolled" or n != "lstm-projected"  # which is written out anyway
    ],
)
def test_gradients(how: str, name: str) -> None:
    """Of the joint graph after all simplifications, against eager in float64."""
    torch.manual_seed(0)
    model = Classifier(name)
    batch = Batch({INPUTS: torch.randn(3, STEPS, 5)}, {TARGETS: torch.tensor([1, 3, 0])})
    program = export_graph(LossStep(model, make_task(models.CLASSES), batch), batch.tensors, 4, strict=False)
    assert compose(program, TABLES[how]) == 1
    joint = add_backward(program)
    for simplify in SIMPLIFICATIONS:
        simplify(joint)

    exact = copy.deepcopy(model).double()
    loss = nn.functional.cross_entropy(exact(batch.inputs[INPUTS].double()), batch.targets[TARGETS])
    loss.backward()
    found = gradients_of(joint, batch)
    assert set(found) == {n for n, _ in model.named_parameters()}
    for parameter, weight in exact.named_parameters():
        torch.testing.assert_close(found[parameter].double(), weight.grad, rtol=1e-4, atol=1e-6)

    calls = Counter(node.target for node in joint.graph.nodes if node.op == "call_function")
    rows = model.rnn.num_layers * (2 if model.rnn.bidirectional else 1)
    products = calls[aten.mm.default] + calls[aten.addmm.default] + calls[aten.linear.default]
    gates = rows * STEPS * (2 if name == "lstm-projected" else 1)
    # Three for inputs, and one for each weight otherwise; unrolled, one forward and one back for each step.
    assert products <= (2 * gates if how == "unrolled" else 0) + 6 * rows + 3
    assert len(joint.graph.nodes) <= (60 * gates if how == "unrolled" else 60 * rows) + 150


def test_a_graph_is_as_long_for_any_number_of_steps() -> None:
    """And captured in as many: PyTorch's own rule runs all steps to learn what a layer returns."""
    lengths = []
    for steps in (2, 300):
        program = export_graph(Classifier("lstm"), [torch.randn(2, steps, 5)], 4)
        compose(program, WITH_OWN_OPERATORS)
        lengths.append(len(program.graph.nodes))
    assert lengths[0] == lengths[1]
