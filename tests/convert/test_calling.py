"""Models that are called in other ways than with a batch of one tensor for a tensor."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.manifest import load_manifest
from edgetrain.convert.calling import flat_outputs
from edgetrain.errors import InputError, UsageError
from edgetrain.runtimes.inference import InferenceProgram
from edgetrain.tasks.outputs import named_outputs

Convert = Callable[..., Any]


class Found(NamedTuple):
    scores: Tensor
    boxes: Tensor


@dataclasses.dataclass
class Scored:
    scores: Tensor
    states: Any = None


class Shaped(nn.Module):
    """One linear layer whose results come back in some form."""

    def __init__(self, form: str = "named") -> None:
        super().__init__()
        self.form = form
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        y = self.linear(x)
        forms = {"named": lambda: Found(y, 2 * y), "data": lambda: Scored(y, (y + 1, {"deep": -y}))}
        return forms[self.form]()


class Rated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor, rate: int, double: bool = False) -> Tensor:
        y = self.linear(x) * (1.0 if rate == 16000 else 2.0)
        return y + y if double else y


class Mapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        y = self.linear(batch["a"]) + batch["b"]
        return {"logits": y, "probabilities": torch.softmax(y, -1)}


class Cells(nn.Module):
    """A step with a state, neither with a batch in front: [4], [2, 1, 3] → [3], [2, 1, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        if x.dim() != 1:
            raise ValueError("one sample at a time")
        state = state * 0.5 + self.linear(x)
        return state.sum((0, 1)), state


class Stepping(nn.Module):
    """A step of an LSTM, which takes its state as a tuple and returns the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(4, 3)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        state = self.cell(x, state)
        return state[0].sum(-1, keepdim=True), state


class Bytes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image.float() / 255).mean((2, 3))


def _saved(model: nn.Module, path: Path) -> Path:
    torch.save(model.state_dict(), path)
    return path


def _scripted(model: nn.Module, path: Path) -> Path:
    torch.jit.script(model.eval()).save(str(path))
    return path


def test_names_of_outputs() -> None:
    one = torch.ones(1)
    assert list(flat_outputs((one, None, one, (one, [one])))) == [
        "output",
        "output1",
        "output2.0",
        "output2.1.0",
    ]
    assert list(flat_outputs(Scored(one, {"a": one}))) == ["scores", "states.a"]
    assert list(flat_outputs(Found(one, one))) == ["scores", "boxes"]
    assert list(flat_outputs((None, 3, "text"))) == []
    assert list(named_outputs(Found(one, one))) == ["scores", "boxes"]
    assert list(named_outputs(Scored(one))) == ["scores"]


@pytest.mark.parametrize(
    ("form", "names"),
    [("named", ["scores", "boxes"]), ("data", ["scores", "states.0", "states.1.deep"])],
)
def test_outputs_by_name(convert: Convert, tmp_path: Path, form: str, names: list[str]) -> None:
    path = _saved(Shaped(form), tmp_path / "shaped.pth")
    settings = {"model": "test_calling:Shaped", "model_args": {"form": form}, "input_shape": ["4"]}
    report = convert(path, **settings)
    assert report.returned == names
    assert report.comparison.relative_error < 1e-6
    x = torch.randn(1, 4)
    model = Shaped(form)
    model.load_state_dict(torch.load(path))
    program = InferenceProgram(tmp_path / "out.pte")
    for found, expected in zip(program.run(x), flat_outputs(model(x)).values(), strict=True):
        torch.testing.assert_close(found, expected)
    last = convert(path, output_name=names[-1], **settings)
    assert last.returned == names[-1:]
    with pytest.raises(UsageError, match=rf"returns {', '.join(names)}, and no other"):
        convert(path, output_name="other", **settings)


def test_the_output_that_is_trained(convert: Convert, tmp_path: Path) -> None:
    path = _saved(Shaped(), tmp_path / "shaped.pth")
    settings = {"model": "test_calling:Shaped", "input_shape": ["4"], "to": "train"}
    assert convert(path, output_name="boxes", **settings).gradient_error < 1e-5
    manifest = load_manifest(tmp_path / "out.json")
    assert [o.name for o in manifest.contract.methods["predict"].outputs if o.role == "output"] == ["boxes"]
    assert manifest.config["convert"]["output_name"] == "boxes"
    names = {tensor.name for tensor in manifest.contract.tensors}
    assert {"linear.weight", "linear.bias"} <= names


@pytest.mark.parametrize("save", [_saved, _scripted], ids=["weights", "script"])
def test_fixed_arguments(convert: Convert, tmp_path: Path, save: Callable[..., Path]) -> None:
    path = save(Rated(), tmp_path / "rated.pt")
    settings: dict[str, Any] = {"input_shape": ["4"]}
    if save is _saved:
        settings["model"] = "test_calling:Rated"
    with pytest.raises(UsageError, match="fix an argument with --input-value rate=VALUE"):
        convert(path, **settings)
    values = {"rate": 8000, "double": True}
    assert convert(path, input_value=values, **settings).comparison.relative_error < 1e-6
    found = convert(path, input_value=values, to="pth", **settings)
    assert found.comparison.relative_error < 1e-6
    checkpoint = torch.load(tmp_path / "out.pth", weights_only=True)
    assert checkpoint["config"]["convert"]["input_value"] == values
    assert set(checkpoint["state_dict"]) == {"linear.weight", "linear.bias"}


@pytest.mark.parametrize("save", [_saved, _scripted], ids=["weights", "script"])
def test_inputs_by_name(convert: Convert, tmp_path: Path, save: Callable[..., Path]) -> None:
    path = save(Mapped(), tmp_path / "mapped.pt")
    model = {"model": "test_calling:Mapped"} if save is _saved else {}
    with pytest.raises(UsageError, match="it takes its inputs by name: --input-shape NAME=4"):
        convert(path, input_shape=["4", "3"], **model)
    report = convert(path, input_shape=["a=4", "b=3"], **model)
    assert report.returned == ["logits", "probabilities"]
    assert report.comparison.relative_error < 1e-6
    assert convert(path, input_shape=["a=4", "b=3"], to="pth", **model).comparison.relative_error < 1e-6


@pytest.mark.parametrize("save", [_saved, _scripted], ids=["weights", "script"])
def test_inputs_without_a_batch(convert: Convert, tmp_path: Path, save: Callable[..., Path]) -> None:
    model = Cells()
    path = save(model, tmp_path / "cells.pt")
    settings: dict[str, Any] = {"input_shape": ["x=4", "state=2,1,3"]}
    if save is _saved:
        settings["model"] = "test_calling:Cells"
    with pytest.raises(UsageError, match="without a batch it takes them: add --no-batched"):
        convert(path, **settings)
    assert convert(path, batched=False, **settings).comparison.relative_error < 1e-6
    x, state = torch.randn(4), torch.randn(2, 1, 3)
    program = InferenceProgram(tmp_path / "out.pte")
    for ours, theirs in zip(program.run(x, state), model(x, state), strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(ValueError, match="inputs without a batch"):
        convert(path, batched=False, to="train", **settings)


@pytest.mark.parametrize("save", [_saved, _scripted], ids=["weights", "script"])
def test_state_in_a_tuple(convert: Convert, tmp_path: Path, save: Callable[..., Path]) -> None:
    model = Stepping()
    path = save(model, tmp_path / "stepping.pt")
    settings: dict[str, Any] = {"model": "test_calling:Stepping"} if save is _saved else {}
    with pytest.raises(UsageError, match=r"state\.0=SHAPE and state\.1=SHAPE for a tuple"):
        convert(path, input_shape=["4"], **settings)
    settings["input_shape"] = ["x=4", "state.1=3", "state.0=3"]
    report = convert(path, max_batch_size=4, **settings)
    assert report.returned == ["output", "output1.0", "output1.1"]
    x, hidden, cell = torch.randn(2, 4), torch.randn(2, 3), torch.randn(2, 3)
    program = InferenceProgram(tmp_path / "out.pte")
    # In the order that the shapes were given in.
    found = program.run(x, cell, hidden)
    for ours, theirs in zip(found, flat_outputs(model(x, (hidden, cell))).values(), strict=True):
        torch.testing.assert_close(ours, theirs)
    trained = convert(path, to="train", output_name="output", **settings)
    assert (trained.returned, trained.gradient_error < 1e-5) == (["output"], True)


def test_bytes(convert: Convert, tmp_path: Path) -> None:
    path = _scripted(Bytes(), tmp_path / "bytes.pt")
    report = convert(path, input_shape=["3,8,8:uint8"])
    assert report.inputs == ["3,8,8:uint8"]
    assert report.comparison.relative_error < 1e-6
    image = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    program = InferenceProgram(tmp_path / "out.pte")
    (found,) = program.run(image)
    torch.testing.assert_close(found, torch.jit.load(path)(image))
    with pytest.raises(
        InputError, match=r"takes uint8 \(inputs\), and what is trained takes float32 or int64"
    ):
        convert(path, input_shape=["3,8,8:uint8"], to="pth")


def test_the_report_is_plain_data(convert: Convert, tmp_path: Path) -> None:
    path = _saved(Shaped(), tmp_path / "shaped.pth")
    report = convert(path, model="test_calling:Shaped", input_shape=["4"])
    assert json.loads(json.dumps(report.returned)) == ["scores", "boxes"]
    assert "it returns scores, boxes" in report.notes


class Counting(nn.Module):
    """Returns what it was given so far."""

    def __init__(self) -> None:
        super().__init__()
        self.total = torch.zeros(1, 4)

    def forward(self, x: Tensor) -> Tensor:
        self.total = self.total + x
        return self.total


def test_a_model_with_a_memory(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "counting.pt"
    torch.jit.script(Counting()).save(str(path))
    with pytest.raises(InputError, match="keeps state from one call to the next, which a program can't"):
        convert(path, input_shape=["4"])


class Joining(nn.Module):
    """Batch and positions are one dimension of its output."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.permute(0, 2, 1)).view(-1)


def test_outputs_that_join_the_batch(convert: Convert, tmp_path: Path) -> None:
    path = _saved(Joining(), tmp_path / "joining.pt")
    settings: dict[str, Any] = {"model": "test_calling:Joining"}
    flags = "--no-batched --input-shape 1,3,5"
    with pytest.raises(UsageError, match=rf"has 10 rows for a batch of 2; for single .*: {flags}"):
        convert(path, input_shape=["3,5"], **settings)
    assert convert(path, input_shape=["1,3,5"], batched=False, **settings).comparison.relative_error < 1e-6
