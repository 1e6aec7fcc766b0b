"""Frozen batch norm as a scale and a shift: outputs and gradients stay eager's, with less kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from edgetrain.config.stages import ExportCommand
from edgetrain.export.joint import add_backward, gradient_names
from edgetrain.export.pipeline import Captured
from edgetrain.export.steps.folded_batch_norm import fold_batch_norm, folded_batch_norm

aten = torch.ops.aten


class Shared(nn.Module):
    """One norm after two convolutions, and after a sum; and a convolution that others read, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x)) + self.norm(self.second(x))
        z = self.second(self.norm(y))
        return self.norm(z) * z


class Functional(nn.Module):
    """Settings by name, a weight that is made of others."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.tanh(self.weight)
        y = nn.functional.conv2d(x[:, :3], weight, padding=1, stride=2, bias=self.weight.mean((1, 2, 3)))
        return self.norm(y)


IMAGE, SIGNAL, VECTOR, VOLUME = (4, 6, 5), (4, 9), (4,), (4, 3, 4, 3)
norm1, norm2 = nn.BatchNorm1d, nn.BatchNorm2d
#: Shape of a sample, the model, and how many norms stay behind what they are for.
CASES: dict[str, tuple[tuple[int, ...], Callable[[], nn.Module], int]] = {
    "plain": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 6, 3), norm2(6)), 0),
    "no_bias": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), norm2(6)), 0),
    "not_affine": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 6, 3), norm2(6, affine=False)), 0),
    "neither": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 6, 3, bias=False), norm2(6, affine=False)), 0),
    "grouped": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1, groups=2), norm2(6)), 0),
    "depthwise": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False), norm2(4)), 0),
    "same": (IMAGE, lambda: nn.Sequential(nn.Conv2d(4, 6, 3, padding="same"), norm2(6)), 0),
    "transposed": (IMAGE, lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 3, 2), norm2(6)), 0),
    "transposed_groups": (
        IMAGE,
        lambda: nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), norm2(6)),
        0,
    ),
    "signal": (SIGNAL, lambda: nn.Sequential(nn.Conv1d(4, 6, 3, groups=2), norm1(6)), 0),
    "transposed_signal": (SIGNAL, lambda: nn.Sequential(nn.ConvTranspose1d(4, 6, 3), norm1(6)), 0),
    "volume": (VOLUME, lambda: nn.Sequential(nn.Conv3d(4, 2, 2), nn.BatchNorm3d(2)), 0),
    "linear": (VECTOR, lambda: nn.Sequential(nn.Linear(4, 5), norm1(5)), 0),
    "linear_over_steps": (SIGNAL, lambda: nn.Sequential(nn.Linear(9, 5), norm1(4)), 1),
    "before": (IMAGE, lambda: nn.Sequential(norm2(4), nn.ReLU(), nn.Conv2d(4, 2, 3)), 1),
    "vectors": (VECTOR, lambda: nn.Sequential(nn.ReLU(), norm1(4, affine=False)), 1),
    "shared": (IMAGE, Shared, 2),
    "functional": (IMAGE, Functional, 0),
}
PARTS = ("norm", "layer", "all")


def make(name: str, frozen: str = "") -> tuple[nn.Module, Tensor]:
    """A model with statistics of its own, in evaluation mode, and its input; in float64, so that nothing but
    a wrong formula differs.

    Args:
        frozen: whose parameters are not trained, one of PARTS; empty: all are.
    """
    torch.manual_seed(0)
    shape, factory, _ = CASES[name]
    model = factory().eval()
    for module in model.modules():
        norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        for parameter in module.parameters(recurse=False):
            parameter.data = torch.randn_like(parameter)
            parameter.requires_grad_(frozen not in ("all", "norm" if norm else "layer"))
        if norm:
            module.running_mean.copy_(torch.randn_like(module.running_mean))
            module.running_var.copy_(torch.rand_like(module.running_var) + 0.1)
            module.running_var[0] = 1e-7
    return model.double(), torch.randn(3, *shape).double()


class Loss(nn.Module):
    """A scalar that tells features apart."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.offset = nn.Parameter(torch.zeros(1))  # so that there always is a gradient

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.model(x)
        features = y.flatten(1)
        weights = torch.linspace(-1.0, 2.0, features.shape[1], dtype=y.dtype)
        return (features * weights).mean() + self.offset.sum(), y.detach()


def captured(model: nn.Module, x: Tensor) -> ExportedProgram:
    return export(Loss(model), (x,), dynamic_shapes=({0: Dim("batch", min=1, max=8)},), strict=True)


def calls(program: ExportedProgram, target: object) -> int:
    return sum(node.target is target for node in program.graph.nodes)


FROZEN = [(name, part) for name in ("plain", "transposed_groups", "before", "shared") for part in PARTS]


@pytest.mark.parametrize(("name", "frozen"), [*((name, "") for name in CASES), *FROZEN])
def test_outputs_and_gradients_are_those_of_eager(name: str, frozen: str) -> None:
    model, x = make(name, frozen)
    loss, output = Loss(model)(x)
    loss.backward()
    program = captured(model, x)
    names = list(program.state_dict)
    norms = calls(program, aten.batch_norm.default)
    assert fold_batch_norm(program) == norms > 0
    assert calls(program, aten.batch_norm.default) == 0
    assert list(program.state_dict) == names
    torch.testing.assert_close(program.module()(x)[1], output)
    joint = add_backward(program)
    tensors = {**joint.state_dict, **joint.constants}
    inputs = {**joint.graph_signature.inputs_to_parameters, **joint.graph_signature.inputs_to_buffers}
    given = [
        tensors[inputs[node.name]] if node.name in inputs else x
        for node in joint.graph.nodes
        if node.op == "placeholder"
    ]
    with torch.no_grad():
        _, _, *gradients = joint.graph_module(*given)
    expected = {f"model.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    found = dict(zip(gradient_names(joint), gradients, strict=True))
    found.pop("offset")
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, msg=lambda text, key=key: f"{key}: {text}")


@pytest.mark.parametrize("name", CASES)
def test_float32_is_as_exact_as_eager(name: str) -> None:
    model, x = make(name)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_var.clamp_min_(0.1)
    expected = model(x)
    model, x = model.float(), x.float()
    program = captured(model, x)
    fold_batch_norm(program)
    error = (program.module()(x)[1] - expected).abs().max()
    assert error <= 4 * (model(x) - expected).abs().max() + 1e-6


@pytest.mark.parametrize("trained", [False, True])
def test_the_smaller_tensor_is_scaled(trained: bool) -> None:
    model = nn.Sequential(nn.Conv2d(4, 64, 1), norm2(64), nn.Conv2d(64, 64, 5), norm2(64)).eval()
    model.requires_grad_(trained)
    x = torch.randn(3, 4, 5, 5)
    expected = model(x)
    program = captured(model, x)
    fold_batch_norm(program)
    torch.testing.assert_close(program.module()(x)[1], expected)
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.target is aten.mul.Tensor]
    assert (64, 64, 5, 5) not in shapes  # its results are [B, 64, 1, 1]
    assert (64, 4, 1, 1) in shapes


@pytest.mark.parametrize("name", CASES)
def test_norms_behind_layers_are_gone(name: str) -> None:
    """What stays has the size of an image: a product with each pixel."""
    model, x = make(name)
    program = captured(model, x)
    fold_batch_norm(program)
    products = [
        node
        for node in program.graph.nodes
        if node.target is aten.mul.Tensor and not isinstance(node.meta["val"].shape[0], int)
    ]
    own = 2 if name == "shared" else 1  # in the loss, and in the model
    assert len(products) == CASES[name][2] + own


def test_only_gamma_is_trained() -> None:
    """Its gradient takes a product of what the convolution returned, rather than a weight's gradient."""
    model, x = make("plain", "layer")
    program = captured(model, x)
    fold_batch_norm(program)
    joint = add_backward(program)
    backward = [n for n in joint.graph.nodes if n.target is aten.convolution_backward.default]
    assert not backward


def test_statistics_of_the_batch_are_left_alone() -> None:
    model, x = make("plain")
    program = captured(model.train(), x)
    assert fold_batch_norm(program) == 0
    assert calls(program, aten.batch_norm.default) == 1


def test_all_methods_are_rewritten() -> None:
    graphs = {name: captured(*make("plain")) for name in ("train", "evaluate")}
    folded = folded_batch_norm(Captured(graphs, {}), ExportCommand())
    assert [calls(program, aten.batch_norm.default) for program in folded.graphs.values()] == [0, 0]


def test_nothing_of_the_norm_is_kept_for_backward() -> None:
    """The convolution's result is read by the activation alone."""
    model = nn.Sequential(nn.Conv2d(4, 6, 3), norm2(6), nn.ReLU()).eval()
    x = torch.randn(3, *IMAGE)
    program = captured(model, x)
    fold_batch_norm(program)
    joint = add_backward(program)
    (convolution,) = [n for n in joint.graph.nodes if n.target is aten.convolution.default]
    assert [user.target for user in convolution.users] == [aten.relu.default]
