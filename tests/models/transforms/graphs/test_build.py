"""Graphs from records; records that somebody made up."""

from __future__ import annotations

import copy
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from edgetrain.artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgetrain.artifacts.specs import InputSpec, TaskSpec
from edgetrain.artifacts.transforms import GRAPH, Graph, ReplacedLayer, Transform
from edgetrain.config.model import ModelConfig
from edgetrain.errors import InputError, UsageError
from edgetrain.models import build_model
from edgetrain.models.build import resolve_model
from edgetrain.models.transforms import apply_transforms
from edgetrain.models.transforms.graphs import build_graph
from edgetrain.models.trusted import build_trusted_model

Plain = dict[str, Any]


def _record() -> Plain:
    """max(x * scale @ w, 0) through a layer that is called twice; [B, 3] → [B, 2]."""
    return {
        "kind": "graph",
        "inputs": ["x"],
        "tensors": {
            "body.weight": {"shape": [2, 3], "dtype": "float32", "kind": "parameter"},
            "body.scale": {"shape": [3], "dtype": "float32", "kind": "buffer"},
        },
        "layers": {"act": {"type": "ReLU"}, "norm.0": {"type": "BatchNorm1d", "args": {"num_features": 2}}},
        "frozen": ["norm.0.bias"],
        "steps": [
            {"name": "scaled", "calls": "aten.mul.Tensor", "args": ["%x", "@body.scale"]},
            {"name": "sums", "calls": "aten.linear.default", "args": ["%scaled", "@body.weight"]},
            {"name": "normed", "calls": "layer norm.0", "args": ["%sums"]},
            {"name": "first", "calls": "layer act", "args": ["%normed"]},
            {"name": "second", "calls": "layer act", "args": ["%first"]},
        ],
        "outputs": {"named": {"out": "%second", "sums": ["%sums"]}},
    }


def _read(record: Plain) -> Graph:
    return Graph.model_validate(record)


def _fill(model: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)


def test_a_graph_is_a_model() -> None:
    model = build_graph(_read(_record()))
    assert list(dict(model.named_parameters())) == ["norm.0.weight", "norm.0.bias", "body.weight"]
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {"norm.0.bias"}
    assert set(model.state_dict()) - set(dict(model.named_parameters())) == {
        "body.scale", "norm.0.running_mean", "norm.0.running_var", "norm.0.num_batches_tracked"
    }  # fmt: skip
    assert model.get_buffer("norm.0.running_var").tolist() == [1, 1]
    _fill(model)
    x = torch.randn(4, 3)
    body, norm = model.body, getattr(model.norm, "0")
    sums = nn.functional.linear(x * body.scale, body.weight)
    for mode in (model.train, model.eval):
        found = mode()(x=x)
        torch.testing.assert_close(found["sums"], [sums])
        torch.testing.assert_close(found["out"], norm(sums).relu())
    assert norm.num_batches_tracked == 2  # once by the model, once here
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        model()


def test_a_graph_is_built_the_same_each_time_and_copied() -> None:
    model = build_graph(_read(_record()))
    again = build_graph(_read(_record()))
    assert [node.name for node in again.graph.nodes] == [node.name for node in model.graph.nodes]
    x = torch.randn(4, 3)
    for other in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [name for name, _ in other.named_parameters()] == [
            name for name, _ in model.named_parameters()
        ]
        other.load_state_dict(model.state_dict())
        torch.testing.assert_close(other.eval()(x), model.eval()(x))
        assert other.get_parameter("body.weight") is not model.get_parameter("body.weight")


def test_further_records_are_replayed_on_it() -> None:
    records = TypeAdapter(tuple[Transform, ...]).validate_python(
        [_record(), {"kind": "replaced_layer", "module": "act", "by": {"type": "Sigmoid"}}]
    )
    assert isinstance(records[1], ReplacedLayer)
    model = apply_transforms(build_model(ModelConfig(name=GRAPH)), records).eval()
    _fill(model)
    x = torch.randn(4, 3)
    found = model(x)
    expected = getattr(model.norm, "0")(found["sums"][0]).sigmoid().sigmoid()
    torch.testing.assert_close(found["out"], expected)


def test_a_checkpoint_of_one(tmp_path: Path) -> None:
    model = build_graph(_read(_record()))
    _fill(model)
    checkpoint = Checkpoint(
        model=ModelConfig(name=GRAPH),
        state=model.state_dict(),
        inputs={"x": InputSpec(shape=(3,))},
        task=TaskSpec(name="regression", loss="mse"),
        transforms=(_read(_record()),),
    )
    save_checkpoint(tmp_path / "m.pth", checkpoint)
    read = load_checkpoint(tmp_path / "m.pth")
    assert read.transforms == checkpoint.transforms
    again = build_trusted_model(read.model, source="m.pth", transforms=read.transforms)
    again.load_state_dict(read.state)
    x = torch.randn(4, 3)
    assert torch.equal(again.eval()(x)["out"], model.eval()(x)["out"])


def test_the_name_alone_is_no_model() -> None:
    with pytest.raises(UsageError, match="there is no model 'graph'"):
        resolve_model(ModelConfig(name=GRAPH), {"x": InputSpec(shape=(3,))}, 2)


Change = Callable[[Plain], object]


def _step(**changes: Any) -> Change:
    return lambda record: record["steps"][1].update(changes)


def _tensor(path: str, **changes: Any) -> Change:
    plain = {"shape": [2], "dtype": "float32", "kind": "buffer", **changes}
    return lambda record: record["tensors"].update({path: plain})


def _layer(path: str, **layer: Any) -> Change:
    return lambda record: record["layers"].update({path: layer})


def _nested(depth: int) -> Any:
    value: Any = "%x"
    for _ in range(depth):
        value = [value]
    return value


MALICIOUS: dict[str, tuple[Change, str]] = {
    "unknown operator": (_step(calls="aten.system.default"), "calls 'aten.system.default', which is no"),
    "files": (_step(calls="aten.from_file.default", args=[{"text": "/etc/passwd"}]), "is no operator"),
    "other namespace": (_step(calls="prims.mul.default"), "is no operator"),
    "python": (_step(calls="builtins.exec", args=[{"text": "1/0"}]), "is no operator"),
    "attribute": (_step(calls="getattr", args=["%x", {"text": "__class__"}]), "is no operator"),
    "dunder": (_step(calls="aten.__class__.__init__"), "is no operator"),
    "missing value": (_step(args=["%nothing", "@body.weight"]), "uses '%nothing', which it doesn't have"),
    "later value": (_step(args=["%second", "@body.weight"]), "which it doesn't have, or not yet"),
    "itself": (_step(args=["%sums", "@body.weight"]), "uses '%sums'"),
    "missing tensor": (_step(args=["%x", "@body.bias"]), "uses '@body.bias'"),
    "a module for a tensor": (_step(args=["%x", "@body"]), "uses '@body'"),
    "bare text": (_step(args=["x", "@body.weight"]), "uses 'x'"),
    "attribute of a value": (_step(args=["%x.__class__", "@body.weight"]), "uses '%x.__class__'"),
    "nesting": (_step(args=_nested(100_000)), "nested too deeply"),
    "nested outputs": (lambda r: r.update(outputs=_nested(5000)), "nested too deeply"),
    "outputs of nothing": (lambda r: r.update(outputs="%later"), "uses '%later'"),
    "code as a name": (_step(name="a = __import__('os')"), "which is no name for one"),
    "keyword as a name": (_step(name="import"), "which is no name for one"),
    "hidden torch": (_step(name="torch"), "which is no name for one"),
    "code as an input": (lambda r: r.update(inputs=["x=print(1)"]), "which is no name for one"),
    "self as an input": (lambda r: r.update(inputs=["self"]), "which is no name for one"),
    "line break in a name": (_step(name="a\n"), "which is no name for one"),
    "two of a name": (_step(name="x"), "two values called x"),
    "two inputs of a name": (lambda r: r.update(inputs=["x", "x"]), "two values called x"),
    "code as a keyword": (_step(kwargs={"a=print(1)": 1}), "with other arguments than it takes"),
    "too many arguments": (_step(args=["%x", "@body.weight", None, 1, 2]), "with other arguments"),
    "unknown layer": (_step(calls="layer drop", args=["%x"]), "'drop', which it doesn't have"),
    "layer that is code": (_step(calls="layer forward", args=["%x"]), "'forward', which it doesn't have"),
    "layer of two": (_step(calls="layer act", args=["%x", "%x"]), "or not with one value"),
    "type of layer": (_layer("a", type="Module"), "a layer of type Module is none"),
    "class of layer": (_layer("a", type="__class__"), "is none that a checkpoint may have"),
    "arguments of a layer": (_layer("a", type="ReLU", args={"x": 1}), "ReLU can't be built"),
    "negative layer": (_layer("a", type="Conv1d", args={"in_channels": 1}), "can't be built"),
    "device of a layer": (_layer("a", type="ReLU", args={"device": "cuda"}), "says device or dtype"),
    "layers in a layer": (_layer("a", type="Sequential", layers=[{"type": "ReLU"}]), "has layers inside"),
    "huge layer": (
        _layer("a", type="Linear", args={"in_features": 10**7, "out_features": 10**7}), "more than 2147483648"
    ),
    "absurd layer": (_layer("a", type="BatchNorm1d", args={"num_features": 10**30}), "can't be built"),
    "huge tensor": (_tensor("a", shape=[10**6, 10**6]), "more than 2147483648 numbers"),
    "absurd tensor": (_tensor("a", shape=[10**300, 10**300]), "more than 2147483648 numbers"),
    "tensor that is a method": (_tensor("forward"), "which is no name for one"),
    "tensor of a class": (_tensor("__class__.a"), "which is no name for one"),
    "tensor that is code": (_tensor("a[0].b"), "which is no name for one"),
    "tensor without a name": (_tensor("body..a"), "which is no name for one"),
    "tensor of a layer": (_tensor("act.a"), "two parts called act.a"),
    "tensor that is a layer": (_tensor("act"), "two parts called act"),
    "tensor in a tensor": (_tensor("body.weight.a"), "called body.weight.a, which lies in a tensor"),
    "hidden modules": (_tensor("body._parameters"), "two parts called body._parameters, or one that"),
}  # fmt: skip


@pytest.mark.parametrize("what", MALICIOUS)
def test_made_up_records_are_refused(what: str) -> None:
    change, message = MALICIOUS[what]
    record = _record()
    change(record)
    read = _read(record)
    with pytest.raises(InputError) as raised:
        apply_transforms(build_model(ModelConfig(name=GRAPH)), [read])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [
        _tensor("a", shape=[-1]),
        _tensor("a", shape=[1] * 17),
        _tensor("a", dtype="object"),
        _tensor("a", kind="attribute"),
        _step(calls=1),
        lambda record: record.update(inputs=[]),
        lambda record: record.update(code="1/0"),
        lambda record: record["steps"].append({"name": "a"}),
    ],
)
def test_what_is_no_record(change: Change) -> None:
    record = _record()
    change(record)
    with pytest.raises(ValidationError):
        _read(record)


def test_a_damaged_record_in_a_file(tmp_path: Path) -> None:
    """Whatever lies in a checkpoint is told in a sentence."""
    checkpoint = Checkpoint(
        model=ModelConfig(name=GRAPH),
        state={},
        inputs={"x": InputSpec(shape=(3,))},
        task=TaskSpec(name="regression", loss="mse"),
        transforms=(_read(_record()),),
    )
    path = tmp_path / "m.pth"
    save_checkpoint(path, checkpoint)
    payload = torch.load(path, weights_only=True)
    for damaged in ([{"kind": "graph"}], [{"kind": "exec"}], 3, [_record() | {"layers": _nested(100)}]):
        buffer = io.BytesIO()
        torch.save({**payload, "transforms": damaged}, buffer)
        path.write_bytes(buffer.getvalue())
        with pytest.raises(InputError, match=r"m\.pth is no complete edgetrain checkpoint"):
            load_checkpoint(path)


def test_a_record_is_plain_data() -> None:
    record = _read(_record())
    assert Graph.model_validate_json(json.dumps(record.model_dump(mode="json"), allow_nan=False)) == record
