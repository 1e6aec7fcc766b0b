"""Models that only a file knows, kept as plain data and built again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from convert_models import example, make, model_flags
from torch import Tensor, nn
from torch.export import Dim

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.inspect import describe
from edgetrain.artifacts.transforms import GRAPH, Graph
from edgetrain.config.stages import (
    ConvertConfig,
    ExportCommand,
    FinetuneCommand,
    TrainCommand,
)
from edgetrain.convert.kinds import identify
from edgetrain.convert.layers_put_back import module_of_program
from edgetrain.convert.readers import read_source
from edgetrain.errors import UsageError
from edgetrain.export import export
from edgetrain.finetuning.stage import finetune_here as finetune
from edgetrain.models.transforms.graphs import NotPlainError, build_graph, describe_graph
from edgetrain.models.trusted import build_trusted_model
from edgetrain.runner import find_runner
from edgetrain.training import train

CASES = [
    ("Images", "traced"), ("Images", "pt2"), ("Images", "pickled module"), ("Seizures", "mobile"),
    ("Recurrent", "scripted"), ("Recurrent", "pt2"), ("Tokens", "scripted"), ("Tokens", "pickled module"),
    *(pytest.param("mobilenet", kind, marks=pytest.mark.thorough) for kind in ("scripted", "pt2")),
]  # fmt: skip


def _check_same(model: nn.Module, source: nn.Module, *inputs: Tensor) -> None:
    """Outputs and gradients, in evaluation mode."""
    for module in (model.eval(), source.eval()):
        module.zero_grad()
        module(*inputs).square().mean().backward()
    torch.testing.assert_close(model(*inputs), source(*inputs), rtol=1e-5, atol=1e-6)
    expected = dict(source.named_parameters())
    assert dict(model.named_parameters()).keys() == expected.keys()
    for name, parameter in expected.items():
        found = model.get_parameter(name).grad
        assert found is not None, name
        assert (found - parameter.grad).norm() <= 1e-4 * parameter.grad.norm() + 1e-9, name


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_records_compute_what_the_file_does(
    name: str, kind: str, model_file: Callable[[str, str], Path]
) -> None:
    """With any batch, with the gradients of the module that the file was made of, and by its names."""
    found = identify(model_file(kind, name))
    captured = read_source(found, ConvertConfig.model_validate(model_flags(kind, name))).captured(
        [example(name)]
    )
    record, state = describe_graph(captured.module, ["inputs"])
    record = Graph.model_validate_json(record.model_dump_json())
    assert record.inputs == ("inputs",)
    model, source = build_graph(record), make(name)
    model.load_state_dict(state)
    assert model.state_dict().keys() == source.state_dict().keys()
    for batch in (1, 3, 8):
        _check_same(model, source, example(name, batch))


def test_layers_are_layers_again(model_file: Callable[[str, str], Path]) -> None:
    captured = read_source(identify(model_file("traced", "Images")), ConvertConfig()).captured(
        [example("Images")]
    )
    model = build_graph(describe_graph(captured.module)[0])
    kinds = [type(layer).__name__ for layer in list(model.modules())[1:]]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "Dropout", "Linear"]
    inputs = example("Images", 8)
    before = model.norm.running_mean.clone()
    assert not torch.equal(model.train()(inputs), model(inputs))
    assert not torch.equal(model.norm.running_mean, before)
    assert torch.equal(model.eval()(inputs), model(inputs))


def _plain(model: nn.Module, *inputs: Tensor) -> tuple[nn.Module, Graph]:
    """A model built again from the record of what torch.export makes of it."""
    dynamic = tuple({0: Dim("batch", min=1, max=64)} for _ in inputs)
    program = torch.export.export(model.eval(), inputs, dynamic_shapes=dynamic, strict=True)
    record, state = describe_graph(module_of_program(program, "m.pt2"))
    built = build_graph(record)
    built.load_state_dict(state)
    return built, record


class Constants(nn.Module):
    """Buffers, saved or not, a plain tensor, integers, infinity, another dtype; [B, 3] → [B, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.rand(3))
        self.register_buffer("order", torch.tensor([2, 0, 1]), persistent=False)
        self.shift = torch.rand(3)
        self.head = nn.Linear(3, 5)
        self.head.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        x = (x * self.scale + self.shift)[:, self.order]
        x = x.masked_fill(x < -1, -torch.inf).clamp(min=-2).to(torch.float64)
        return self.head(torch.cat([x[:, :1], x[:, 1:]], 1).float()).chunk(1, dim=-1)[0]


def test_constants_are_part_of_the_state() -> None:
    source = Constants()
    model, _ = _plain(source, torch.randn(2, 3))
    inputs = 3 * torch.randn(6, 3)
    torch.testing.assert_close(model(inputs), source(inputs))
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {"head.bias"}
    values = [t for n, t in model.state_dict().items() if not n.startswith("head.")]
    assert sorted(str(t.dtype) for t in values) == ["torch.float32", "torch.float32", "torch.int64"]


class Tied(nn.Module):
    """Ids [B, 5] → scores [B, 12] by the embedding's own weights."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 6)
        self.out = nn.Linear(6, 12, bias=False)
        self.out.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(torch.tanh(self.words(ids).mean(1)))


def test_tied_weights_stay_one() -> None:
    source = Tied()
    ids = torch.randint(0, 12, (4, 5))
    model, _ = _plain(source, ids)
    for module in (model, source):
        module(ids).square().mean().backward()
    ((name, parameter),) = model.named_parameters()
    assert name in ("words.weight", "out.weight")
    torch.testing.assert_close(parameter.grad, source.words.weight.grad)


class Named(nn.Module):
    """Several outputs by name."""

    def forward(self, image: Tensor, other: Tensor) -> dict[str, Any]:
        return {"out": image + other, "rest": [other, image.size(0) * 2 + other]}


def test_names_of_inputs_and_outputs() -> None:
    model, record = _plain(Named(), torch.ones(2, 3), torch.ones(2, 3))
    assert record.inputs == ("image", "other")
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(model(other=b, image=a), {"out": a + b, "rest": [b, 8 + b]})


class Inverse(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.inv(x)


def test_operators_that_no_record_may_have() -> None:
    with pytest.raises(
        NotPlainError, match=r"it calls aten\.linalg_inv_ex\.default|it calls aten\.linalg_inv\."
    ):
        _plain(Inverse(), torch.eye(3).repeat(2, 1, 1))


@pytest.mark.parametrize("kind", ["traced", "mobile", "pt2", "pickled module"])
def test_checkpoints_of_files(kind: str, convert_model: Callable[..., Any]) -> None:
    report = convert_model(kind, "Images", to="pth")
    assert report.comparison.relative_error < 1e-6
    assert not report.fixed_batch
    checkpoint = load_checkpoint(report.outputs[0])
    assert checkpoint.model.name == GRAPH
    model = build_trusted_model(checkpoint.model, source="m.pth", transforms=checkpoint.transforms)
    model.load_state_dict(checkpoint.state)
    _check_same(model, make("Images"), example("Images", 5))
    described = describe(report.outputs[0])
    assert described["model"]["name"] == GRAPH
    (graph,) = described["transforms"]
    assert graph["calls"]["Conv2d"] == 1
    assert "steps" not in graph


def test_a_fixed_batch_is_told(convert: Callable[..., Any], tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.flatten().view(4, 4)[:, [1, 0, 3, 2]])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Fixed(), torch.randn(4, 4)).save(str(tmp_path / "m.pt"))
    report = convert(tmp_path / "m.pt", to="pth", input_shape=["4"])
    assert (report.batch, report.fixed_batch) == (4, True)
    assert any(
        "for batches of exactly 4, and its checkpoint takes no others" in note for note in report.notes
    )


def _frozen(folder: Path) -> Path:
    path = folder / "frozen.pt"
    torch.jit.freeze(torch.jit.script(make("Images"))).save(str(path))
    return path


def test_frozen_files_become_checkpoints_that_have_nothing_to_train(
    convert: Callable[..., Any], tmp_path: Path
) -> None:
    report = convert(_frozen(tmp_path), to="pth", input_shape=["3,12,12"])
    checkpoint = load_checkpoint(report.outputs[0])
    model = build_trusted_model(checkpoint.model, source="m.pth", transforms=checkpoint.transforms)
    model.load_state_dict(checkpoint.state)
    torch.testing.assert_close(model.eval()(example("Images")), make("Images")(example("Images")))
    assert not any(p.requires_grad for p in model.parameters())
    data = _data(tmp_path, 3, 12, 12)
    config = TrainCommand.model_validate({"data": data, "train": {"epochs": 1}})
    with pytest.raises(UsageError, match="the model has no trainable parameters"):
        train(config, tmp_path / "t.pth", start=checkpoint)


def _data(folder: Path, *shape: int) -> dict[str, Any]:
    """The `data` section of random samples of 5 classes: which of the first numbers is the largest."""
    inputs = np.random.default_rng(0).normal(size=(40, *shape)).astype("f4")
    targets = inputs.reshape(40, -1)[:, :5].argmax(1)
    np.savez(folder / "data.npz", inputs=inputs, targets=targets)
    return {"name": "arrays", "root": folder / "data.npz"}


class Small(nn.Module):
    """Nothing random; [B, 6] → [B, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.body(x))))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """`Small` as TorchScript."""
    torch.manual_seed(0)
    torch.jit.script(Small().eval()).save(str(tmp_path / "small.pt"))
    return tmp_path / "small.pt"


@pytest.mark.slow
def test_every_command_takes_such_a_checkpoint(convert: Callable[..., Any], small: Path) -> None:
    path = convert(small, to="pth", input_shape=["6"]).outputs[0]
    start, data = load_checkpoint(path), _data(small.parent, 6)
    trained = small.with_name("trained.pth")
    train(TrainCommand.model_validate({"data": data, "train": {"epochs": 1}}), trained, start=start)
    assert load_checkpoint(trained).transforms == start.transforms
    config = ExportCommand.model_validate({"export": {"max_batch_size": 2}})
    program = export(config, trained, small.with_name("trained")).program
    assert describe(program)["transforms"][0]["calls"]["Linear"] == 2
    _tune(program, data, ["torch"])


@pytest.mark.slow
def test_programs_of_files_are_tuned_in_every_runtime(convert: Callable[..., Any], small: Path) -> None:
    """No checkpoint lies anywhere; what is folded back is one all the same."""
    report = convert(small, to="train", input_shape=["6"], export={"max_batch_size": 2})
    assert report.gradient_error < 1e-5
    runtimes = ["torch", "executorch", *(["native"] if find_runner() else [])]
    _tune(report.outputs[0], _data(small.parent, 6), runtimes)


def _tune(program: Path, data: dict[str, Any], runtimes: Sequence[str]) -> None:
    """Fine-tunes in some runtimes, which must give the same checkpoint, of a model that computes."""
    states = []
    for runtime in runtimes:
        settings = {"runtime": runtime, "epochs": 5, "threads": 1, "batch_size": 2}
        config = FinetuneCommand.model_validate(
            {"data": data, "optimizer": {"lr": 0.05}, "finetune": settings}
        )
        folded = program.with_name(f"{runtime}.pth")
        result = finetune(config, program, program.with_name(f"{runtime}.ptd"), to_pth=folded)
        losses = [epoch.train_loss for epoch in result.history.epochs if epoch.train_loss is not None]
        assert losses[-1] < losses[0] - 0.05, losses
        checkpoint = load_checkpoint(folded)
        model = build_trusted_model(checkpoint.model, source="m.pth", transforms=checkpoint.transforms)
        model.load_state_dict(checkpoint.state)
        states.append(checkpoint.state)
    for state in states[1:]:
        for name, tensor in states[0].items():
            torch.testing.assert_close(state[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
