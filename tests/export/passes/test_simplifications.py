"""All simplifications of joint graphs: loss, predictions and gradients stay those of eager after each."""

from __future__ import annotations

import copy

import export_models as models
import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.export.batches import Batch
from edgetrain.export.capture import LossStep, capture
from edgetrain.export.joint import add_backward, gradient_names
from edgetrain.export.passes import SIMPLIFICATIONS
from edgetrain.models.cifar_cnn import CifarCNN
from edgetrain.tasks import make_task

aten = torch.ops.aten
TASK = make_task(models.CLASSES)
OUTPUTS = ("loss", "class", "loss_sum", "count", "correct")


class Bottleneck(nn.Module):
    """What mobile networks are made of: frozen batch norm, ReLU6, depthwise convolution, a residual; and a
    max-pool over a relu that others read, too. [B, 3, 8, 8] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
        self.depthwise = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), nn.BatchNorm2d(8), nn.Hardtanh(-0.5, 0.75)
        )
        self.head = nn.Linear(8 * 16, 4, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(3 * x)
        x = torch.relu(x - self.depthwise(x))
        return self.head((nn.functional.max_pool2d(x, 2) + nn.functional.avg_pool2d(x, 2)).flatten(1))


class Repeated(nn.Module):
    """One layer five times over, as recurrent ones are; [B, 6] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(5):
            x = torch.tanh(self.layer(x))
        return x[:, :4]


def small_cifar_cnn() -> nn.Module:
    return CifarCNN(image_size=8, num_classes=4, dropout=0.0)


CASES = {
    "cifar_cnn": (small_cifar_cnn, (3, 8, 8)),
    "bottleneck": (Bottleneck, (3, 8, 8)),
    "repeated": (Repeated, (6,)),
    "signals": (models.Signals, models.SHAPES[models.Signals]),
    "pools": (models.Pools, models.SHAPES[models.Pools]),
    "sequences": (models.Sequences, models.SHAPES[models.Sequences]),
}


def example(shape: tuple[int, ...]) -> Batch:
    return Batch({INPUTS: torch.randn(3, *shape)}, {TARGETS: torch.tensor([1, 3, 0])})


def joint_graph(model: nn.Module, shape: tuple[int, ...], *, cheap: bool = False) -> ExportedProgram:
    """Of a model with frozen batch norm; `cheap`: after all simplifications."""
    captured = capture(models.subject(model, shape, max_batch_size=4), example(shape))
    joint = add_backward(captured.graphs["train"])
    for simplify in SIMPLIFICATIONS if cheap else ():
        simplify(joint)
    return joint


def eager(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Loss, predictions, sums and gradients by name."""
    model = copy.deepcopy(model)
    outputs = LossStep(model, TASK, batch)(*batch.tensors)
    outputs[0].backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {**{name: t.detach() for name, t in zip(OUTPUTS, outputs, strict=True)}, **gradients}


def run(joint: ExportedProgram, batch: Batch) -> dict[str, Tensor]:
    """The same from the graph."""
    signature = joint.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names |= signature.inputs_to_lifted_tensor_constants
    tensors = {**joint.state_dict, **joint.constants}
    given = iter(batch.tensors)
    values = [
        tensors[names[n.name]] if n.name in names else next(given)
        for n in joint.graph.nodes
        if n.op == "placeholder"
    ]
    with torch.no_grad():
        outputs = joint.graph_module(*values)
    return dict(zip([*OUTPUTS, *gradient_names(joint)], outputs, strict=True))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.thorough if n == "signals" else ()) for n in CASES]
)
def test_numbers_stay_right_after_each(name: str) -> None:
    torch.manual_seed(0)
    factory, shape = CASES[name]
    model = factory()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    joint = joint_graph(model, shape)
    model.eval()  # none of these drops out anything: the mode is that of frozen batch norm
    batch = example(shape)
    expected = eager(model, batch)
    for simplify in SIMPLIFICATIONS:
        simplify(joint)
        found = run(joint, batch)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(
                found[key], value, rtol=1e-5, atol=1e-6, msg=f"{key} after {simplify.__name__}"
            )


def test_every_simplification_finds_its_work() -> None:
    """In the models above: a pass that finds nothing anywhere would pass every other test."""
    counts = dict.fromkeys(SIMPLIFICATIONS, 0)
    for factory, shape in (CASES["cifar_cnn"], CASES["bottleneck"], CASES["repeated"]):
        joint = joint_graph(factory(), shape)
        for simplify in SIMPLIFICATIONS:
            counts[simplify] += simplify(joint)
            assert simplify(joint) == 0, f"{simplify.__name__} leaves work for itself"
    assert all(counts.values()), counts


def targets(joint: ExportedProgram) -> list[object]:
    return [node.target for node in joint.graph.nodes if node.op == "call_function"]


def test_a_convolutional_network_afterwards() -> None:
    model = small_cifar_cnn()
    before, after = (targets(joint_graph(model, (3, 8, 8), cheap=cheap)) for cheap in (False, True))
    assert before.count(aten.permute.default) == 10
    assert after.count(aten.permute.default) == 2, "one for each linear layer's gradient"
    assert after.count(aten.linear.default) == 2
    assert aten.alias.default in before
    assert aten.alias.default not in after
    assert after.count(aten.where.self) == 1, "in the loss"


def test_activations_before_pooling_are_needed_once() -> None:
    """So that memory holds just the pooled ones for the backward graph."""
    joint = joint_graph(small_cifar_cnn(), (3, 8, 8), cheap=True)
    convolutions = [n for n in joint.graph.nodes if n.target is aten.convolution.default]
    assert len(convolutions) == 3
    for node in convolutions:
        assert [user.target for user in node.users] == [aten.max_pool2d_with_indices.default]


def test_a_relu_that_others_read_stays_before_the_pool() -> None:
    joint = joint_graph(Bottleneck(), (3, 8, 8), cheap=True)
    (pool,) = [n for n in joint.graph.nodes if n.target is aten.max_pool2d_with_indices.default]
    assert pool.args[0].target is aten.relu.default
    assert aten.avg_pool2d.default in [user.target for user in pool.args[0].users]
