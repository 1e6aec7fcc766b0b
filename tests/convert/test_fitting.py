"""Weights into models that know them by other names, and into none that they aren't of."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from edgetrain.config.convert import ConvertConfig
from edgetrain.config.model import ModelConfig
from edgetrain.convert import find_files, stem_of
from edgetrain.convert.fitting import load_weights
from edgetrain.convert.readers.named_model import source_of_weights
from edgetrain.convert.weights import Weights, find_weights
from edgetrain.errors import InputError, UsageError
from edgetrain.models import build_model
from edgetrain.vision import make_torchvision_importable

Change = Callable[[dict[str, Tensor]], dict[str, Any]]


class Body(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Body()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.out = nn.Linear(4, 5, bias=False)
        self.out.weight = self.words.weight


class Noted(Body):
    """Keeps something beside its weights."""

    def get_extra_state(self) -> Any:
        return {"rows": 128}

    def set_extra_state(self, state: Any) -> None:
        assert state == {"rows": 128}


def _fill(model: nn.Module, payload: Any, key: str | None = None, **settings: Any) -> list[str]:
    return load_weights(model, find_weights(payload, "net.pth", key), "net.pth", "models:net", **settings)


def _renamed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("build", "change", "notes"),
    [
        (Body, lambda s: _renamed("model.backbone.", s), []),
        (Body, lambda s: _renamed("module._orig_mod.", s), []),
        (Wrapped, lambda s: s, ["its weights are those of net in models:net"]),
        (Wrapped, lambda s: _renamed("module.", s), None),
        (
            Body,
            lambda s: {**_renamed("net.", s), **_renamed("ema.", s)},
            ["it also has averaged weights: --weights-key ema", "left out ema.0.weight, ema.0.bias, "],
        ),
        (Noted, lambda s: s, ["left out _extra_state, which are no weights"]),
        (Body, lambda s: {**s, "config": {"lr": torch.ones(1)}, "epoch": 3}, []),
    ],
    ids=[
        "prefix",
        "compiled",
        "part of the model",
        "trained in parallel",
        "averages",
        "extra state",
        "config",
    ],
)
def test_other_names(build: type[nn.Module], change: Change, notes: list[str] | None) -> None:
    torch.manual_seed(1)
    body, model = Body(), build()
    before = body.state_dict()
    found = _fill(model, change(before))
    assert notes is None or len(found) == len(notes)
    assert all(said in note for note, said in zip(found, notes or [], strict=False))
    x = torch.randn(2, 3)
    assert torch.equal(model(x), body(x))


@pytest.mark.parametrize("held", ["words.weight", "out.weight"])
def test_shared_tensors_under_one_of_their_names(held: str) -> None:
    model, weight = Tied(), torch.randn(5, 4)
    assert _fill(model, {held: weight}) == []
    assert torch.equal(model.out.weight, weight)
    assert model.out.weight is model.words.weight


def test_a_student_beside_its_teacher() -> None:
    student, teacher, model = Body(), Body(), Body()
    payload = {**_renamed("student.", student.state_dict()), **_renamed("teacher.", teacher.state_dict())}
    for whole, where in ((payload, ""), ({"state_dict": payload}, "state_dict.")):
        with pytest.raises(
            UsageError, match=rf"fit at {where}student, {where}teacher; .*-key {where}student"
        ):
            _fill(model, whole)
        assert _fill(model, whole, f"{where}teacher") == []
        assert torch.equal(model[0].weight, teacher[0].weight)
    with pytest.raises(UsageError, match="no weights at 'pupil'; it has some at its top"):
        _fill(model, payload, "pupil")


def test_surplus_weights() -> None:
    body, model = Body(), Body()
    payload = {**body.state_dict(), "loss.scale": torch.ones(2), "9.weight": torch.ones(1)}
    with pytest.raises(
        InputError, match=r"unexpected loss\.scale, 9\.weight; leave them out with --allow-ext"
    ):
        _fill(model, payload)
    assert _fill(model, payload, allow_extra=True) == [
        "left out loss.scale, 9.weight, which are no weights of models:net"
    ]
    assert torch.equal(model[2].weight, body[2].weight)
    # What is missing, or of another shape, is so with the flag as well.
    for wrong in ({"0.weight": None}, {"0.weight": torch.ones(2, 2)}):
        changed = {name: tensor for name, tensor in {**payload, **wrong}.items() if tensor is not None}
        with pytest.raises(InputError, match=r"(missing 0\.weight|0\.weight is \[2, 2\])"):
            _fill(Body(), changed, allow_extra=True)


def test_extra_state_from_file_to_file(convert: Callable[..., Any], tmp_path: Path) -> None:
    torch.save(Noted().state_dict(), tmp_path / "noted.pth")
    settings = {"model": "test_fitting:Noted", "input_shape": ["3"], "to": "pth"}
    report = convert(tmp_path / "noted.pth", **settings)
    assert report.comparison.max_error == 0
    assert report.notes == ["left out _extra_state, which are no weights of test_fitting:Noted"]
    again = convert(tmp_path / "out.pth", **settings)
    assert again.comparison.max_error == 0


@pytest.mark.promise("Names in files lead nowhere else: no path out of a folder, no tag of YAML")
def test_checkpoints_in_several_files(convert: Callable[..., Any], tmp_path: Path) -> None:
    body = Body()
    names = list(body.state_dict())
    files = {name: f"part-{i}.{'bin' if i else 'safetensors'}" for i, name in enumerate(names)}
    for name, file in files.items():
        state = {name: body.state_dict()[name]}
        torch.save(state, tmp_path / file) if file.endswith("bin") else save_file(state, tmp_path / file)
    index = tmp_path / "net.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files}))
    assert find_files([tmp_path]) == [index]
    assert stem_of(index) == "net"
    settings = {"model": "test_fitting:Body", "input_shape": ["3"], "to": "pth"}
    assert convert(index, **settings).comparison.max_error == 0
    written = torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"]
    assert torch.equal(written["2.bias"], body[2].bias)
    with pytest.raises(UsageError, match=r"holds 4 tensors .*but not the model"):
        convert(index, input_shape=["3"])

    torch.save({"other": torch.ones(1)}, tmp_path / "part-1.bin")
    with pytest.raises(InputError, match=r"part-1\.bin lacks 0\.bias, which .*index\.json says it has"):
        convert(index, **settings)
    (tmp_path / "part-1.bin").unlink()
    with pytest.raises(InputError, match=r"needs part-1\.bin, which is not beside it"):
        convert(index, **settings)
    for elsewhere in ("../part-1.bin", "/etc/passwd", "", 7):
        index.write_text(json.dumps({"weight_map": {"0.weight": elsewhere}}))
        with pytest.raises(InputError, match="must name files that lie beside it"):
            convert(index, **settings)


def test_folders_of_save_pretrained(convert: Callable[..., Any], tmp_path: Path) -> None:
    weights = {"0.weight": torch.ones(1)}
    for name in ("model.safetensors", "optimizer.pt", "training_args.bin", "config.json"):
        (tmp_path / name).write_text("{}")
    assert find_files([tmp_path]) == [tmp_path / "model.safetensors"]
    (tmp_path / "config.json").write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(UsageError, match=r"its config\.json says that it is --model transformers:BertModel"):
        convert(tmp_path / "model.safetensors", input_shape=["8:int64"])


def test_surplus_weights_of_the_class_that_a_folder_names(tmp_path: Path) -> None:
    """The library leaves them out as well; of another class they are still asked for."""
    make_torchvision_importable()
    pytest.importorskip("transformers")
    settings = {
        "model_type": "bert", "architectures": ["BertForMaskedLM"], "hidden_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30, "max_position_embeddings": 16,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(settings))
    named, encoder = "transformers:BertForMaskedLM", "transformers:BertModel"
    model = build_model(ModelConfig(name=named, args={"config": settings}))
    pooler = {"bert.pooler.dense.weight": torch.ones(16, 16), "bert.pooler.dense.bias": torch.ones(16)}
    weights = Weights({**model.state_dict(), **pooler}, "")
    path = tmp_path / "pytorch_model.bin"
    source = source_of_weights(weights, ConvertConfig(model=named), "state_dict", path)
    surplus = "bert.pooler.dense.bias, bert.pooler.dense.weight"
    assert source.notes == [f"left out {surplus}, which are no weights of {named}"]
    with pytest.raises(InputError, match=r"unexpected .*leave them out with --allow-extra"):
        source_of_weights(weights, ConvertConfig(model=encoder), "state_dict", path)
