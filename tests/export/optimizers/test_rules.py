"""Updates written into graphs, against torch.optim."""

from __future__ import annotations

from typing import Any

import export_models as models
import pytest
import torch
from torch import Tensor

from edgetrain.artifacts.run_state import FIRST
from edgetrain.artifacts.specs import INPUTS, TARGETS, TaskSpec
from edgetrain.engine.optimizers import hyperparameters, make_optimizer, set_learning_rate
from edgetrain.export.batches import Batch
from edgetrain.export.capture import capture
from edgetrain.export.edge import to_edge_dialect
from edgetrain.export.joint import make_joint
from edgetrain.export.optimizers.scalars import put_scalars
from edgetrain.export.optimizers.state import SUM
from edgetrain.export.pipeline import Edge
from edgetrain.export.recipes import training_recipe
from edgetrain.upstream.edge import edge_operators

edge_dialect = edge_operators().aten
SHAPE = models.SHAPES[models.Trained]
OPTIMIZERS: list[dict[str, Any]] = [
    {"momentum": 0.0, "lr": 0.1},
    {"momentum": 0.0, "lr": 0.1, "weight_decay": 0.05},
    {"momentum": 0.9, "lr": 0.05},
    {"momentum": 0.9, "lr": 0.05, "weight_decay": 0.05, "dampening": 0.3},
    {"momentum": 0.9, "lr": 0.05, "nesterov": True},
    {"momentum": 0.9, "lr": 0.05, "nesterov": True, "weight_decay": 0.05},
    {"name": "adam", "lr": 0.01},
    {"name": "adam", "lr": 0.01, "weight_decay": 0.05, "beta1": 0.8, "beta2": 0.99, "eps": 1e-6},
    {"name": "adamw", "lr": 0.01, "weight_decay": 0.05},
    {"momentum": 0.5, "lr": 0.05, "groups": {"head.*": 0.2, "*.bias": 0.0}},
]


def batch(seed: int, size: int, shape: tuple[int, ...] = SHAPE) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, *shape, generator=generator), torch.randint(0, 4, (size,), generator=generator)


def edge_of(
    model: torch.nn.Module, optimizer: dict[str, Any], task: TaskSpec = models.CLASSES, **settings: Any
) -> Edge:
    """Edge dialect with the updates."""
    settings = {"max_batch_size": 4, "update_in_graph": "on", **settings}
    shape = models.SHAPES[type(model)]
    subject = models.subject(model, shape, task, optimizer, **settings)
    x, y = batch(0, min(3, subject.settings.planned_batch_size), shape)
    y = y if task is models.CLASSES else y.unsqueeze(1).expand(-1, shape[0]).contiguous()
    recipe = training_recipe(subject.config)
    joint = make_joint(capture(subject, Batch({INPUTS: x}, {TARGETS: y})))
    for step in recipe.steps.joint:
        joint = step(joint)
    edge = to_edge_dialect(joint, recipe, "test")
    for rewrite in recipe.steps.edge:
        edge = rewrite(edge)
    return edge


class Method:
    """A method as the runtime sees it, over tensors by name that it writes."""

    def __init__(self, edge: Edge, name: str, tensors: dict[str, Tensor]) -> None:
        self._program = edge.manager.exported_program(name)
        put_scalars(self._program.graph_module)
        self._tensors = tensors
        self._outputs = edge.joint.signatures[name].outputs

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        given, arguments = iter(inputs), []
        for spec in self._program.graph_signature.input_specs:
            known = {**self._program.state_dict, **self._program.constants, **self._tensors}
            arguments.append(known[spec.target] if spec.target else next(given))
        with torch.no_grad():
            outputs = list(self._program.graph_module(*arguments))
        for argument in self._outputs:
            if argument.tensor is not None:
                self._tensors[argument.tensor] = outputs[argument.index]
        return outputs


def told(config: Any, step: int, lr: float) -> list[Tensor]:
    return [torch.tensor(value) for value in hyperparameters(config, step, lr).values()]


def same(tensors: dict[str, Tensor], model: torch.nn.Module) -> None:
    for name, parameter in model.named_parameters():
        assert torch.allclose(tensors[name], parameter, rtol=1e-5, atol=1e-6), name


def check_products(edge: Edge) -> None:
    """No gradient of a linear layer's weight that is one product exists; that of `twice` is a sum of two."""
    shapes = [
        tuple(node.meta["val"].shape)
        for node in edge.manager.exported_program("train").graph.nodes
        if node.op == "call_function" and node.target is edge_dialect.mm.default
    ]
    assert (8, 48) not in shapes
    assert (4, 8) not in shapes
    assert shapes.count((8, 8)) == 2


# With every term there is, one of each rule; fewer terms are left to `make test-all`.
THOROUGH = [OPTIMIZERS[i] for i in (0, 2, 4, 6)]


@pytest.mark.parametrize(
    "optimizer",
    [pytest.param(o, marks=pytest.mark.thorough if o in THOROUGH else ()) for o in OPTIMIZERS],
    ids=str,
)
def test_twenty_steps(optimizer: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = models.Trained()
    edge = edge_of(model, optimizer)
    config = edge.joint.optimizer
    assert config is not None
    if config.name == "sgd":
        check_products(edge)
    tensors = {n: t.clone() for n, t in {**edge.tensors, **edge.joint.states}.items()}
    train = Method(edge, "train", tensors)
    reference = make_optimizer(config, model.named_parameters())
    for step in range(1, 21):
        rate = config.lr / step**0.5
        x, y = batch(step, 4)
        found = train(x, y, *told(config, step, rate))
        set_learning_rate(reference, rate)
        reference.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        reference.step()
        assert found[0].item() == pytest.approx(loss.item(), rel=1e-5)
    same(tensors, model)
    if config.name == "sgd" and config.momentum:
        buffer = reference.state[model.head.weight]["momentum_buffer"]
        assert torch.allclose(tensors[FIRST + "head.weight"], buffer, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", [OPTIMIZERS[0], OPTIMIZERS[4]], ids=str)
def test_factors_of_each_other(optimizer: dict[str, Any]) -> None:
    """Neither weight may be updated before the other's gradient is made, which a fused update would want."""
    torch.manual_seed(0)
    model = models.Factored()
    edge = edge_of(model, optimizer)
    config = edge.joint.optimizer
    assert config is not None
    tensors = {n: t.clone() for n, t in {**edge.tensors, **edge.joint.states}.items()}
    train, reference = Method(edge, "train", tensors), make_optimizer(config, model.named_parameters())
    for step in range(1, 4):
        x, y = batch(step, 4, models.SHAPES[models.Factored])
        train(x, y, *told(config, step, config.lr))
        reference.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        reference.step()
    same(tensors, model)


def test_parts_of_a_batch_add_up() -> None:
    """The last part is smaller, and so counts for less."""
    torch.manual_seed(0)
    model = models.Trained()
    edge = edge_of(model, {"weight_decay": 0.05}, micro_batch=2)
    config = edge.joint.optimizer
    assert config is not None
    tensors = {n: t.clone() for n, t in {**edge.tensors, **edge.joint.states}.items()}
    assert {n for n in tensors if n.startswith(SUM)} == {SUM + n for n, _ in model.named_parameters()}
    train, update = Method(edge, "train", tensors), Method(edge, "update", tensors)
    reference = make_optimizer(config, model.named_parameters())
    for step in range(1, 4):
        x, y = batch(step, 5)
        for start in (0, 2, 4):
            train(x[start : start + 2], y[start : start + 2], torch.tensor(float(start > 0)))
        update(torch.tensor(5.0), *told(config, step, config.lr))
        reference.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        reference.step()
    same(tensors, model)


def test_parts_count_by_labels_that_count() -> None:
    """Of parts of two samples: one with few labels, one with none, one that is a single sample."""
    torch.manual_seed(0)
    task = TaskSpec(
        name="token-classification", loss="cross_entropy", classes=tuple("abcd"), ignore_index=-100
    )
    model = models.PerToken()
    edge = edge_of(model, {"momentum": 0.0}, task, micro_batch=2)
    config = edge.joint.optimizer
    assert config is not None
    tensors = {n: t.clone() for n, t in {**edge.tensors, **edge.joint.states}.items()}
    train, update = Method(edge, "train", tensors), Method(edge, "update", tensors)
    count = next(o.index for o in edge.joint.signatures["train"].outputs if o.name == edge.joint.counted)
    x, y = torch.randn(5, 6, 5), torch.randint(0, 4, (5, 6))
    y[0, 1:], y[2:4] = -100, -100
    divisor = torch.zeros(())
    for start in (0, 2, 4):
        outputs = train(x[start : start + 2], y[start : start + 2], torch.tensor(float(start > 0)))
        divisor = divisor + outputs[count].sum()
    assert divisor == (y != -100).sum()
    update(divisor, *told(config, 1, config.lr))
    reference = make_optimizer(config, model.named_parameters())
    torch.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
    reference.step()
    same(tensors, model)


def test_a_program_with_both_ways() -> None:
    torch.manual_seed(0)
    edge = edge_of(models.Trained(), {}, update_in_graph="auto")
    roles = {name: [o.role for o in s.outputs] for name, s in edge.joint.signatures.items()}
    assert "gradient" in roles["gradients"]
    assert "gradient" not in roles["train"]
    assert roles["train"].count("parameter") == roles["train"].count("optimizer_state") == 8
    assert [a.name for a in edge.joint.signatures["gradients"].inputs] == ["inputs", "targets"]
    assert set(roles["weights"]) == {"parameter", "optimizer_state"}
