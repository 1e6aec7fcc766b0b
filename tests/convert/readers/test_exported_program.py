"""`.pt2`: programs of torch.export, and what could run code in them."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from convert_models import Images, example, make, with_record
from torch import Tensor, nn

from edgetrain.convert.foreign_operators import is_program_operator
from edgetrain.convert.formulas import is_size
from edgetrain.errors import InputError, UsageError
from edgetrain.runtimes.inference import InferenceProgram

Convert = Callable[..., Any]


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_pickled_example_inputs(convert: Convert, model_file: Any, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    buffer = io.BytesIO()
    torch.save(Harmful(f"touch {proof}"), buffer)
    path = with_record(
        model_file("pt2", "Images"),
        tmp_path / "bad.pt2",
        "sample_inputs/model.pt",
        lambda _: buffer.getvalue(),
    )
    assert convert(path).comparison.max_error < 1e-5
    assert not proof.exists()


def test_formulas_that_are_code(convert: Convert, model_file: Any, tmp_path: Path) -> None:
    proof = tmp_path / "proof"

    def change(content: bytes) -> bytes:
        text = content.decode()
        start = text.index('"expr_str": "') + len('"expr_str": "')
        end = text.index('"', start)
        return (text[:start] + f"__import__('os').system('touch {proof}')" + text[end:]).encode()

    path = with_record(model_file("pt2", "Images"), tmp_path / "bad.pt2", "models/model.json", change)
    with pytest.raises(InputError, match="a size that is no number or formula"):
        convert(path)
    assert not proof.exists()


def test_functions_that_are_no_operators(convert: Convert, model_file: Any, tmp_path: Path) -> None:
    path = with_record(
        model_file("pt2", "Images"),
        tmp_path / "bad.pt2",
        "models/model.json",
        lambda content: content.replace(b"torch.ops.aten.relu.default", b"torch.os.system"),
    )
    with pytest.raises(InputError, match=r"it calls 'torch\.os\.system', which is no operator"):
        convert(path)


def test_compiled_code(convert: Convert, model_file: Any, tmp_path: Path) -> None:
    path = with_record(model_file("pt2", "Images"), tmp_path / "bad.pt2", "nothing", lambda content: content)
    with zipfile.ZipFile(path, "a") as file:
        top = file.namelist()[0].partition("/")[0]
        file.writestr(f"{top}/data/aotinductor/model/model.so", b"\x7fELF")
    with pytest.raises(InputError, match="holds compiled code"):
        convert(path)


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("Symbol('s27', positive=True, integer=True)", True),
        ("2*s27 + FloorDiv(s3, 4)", True),
        ("Mul(Integer(2), Symbol('u0'))", True),
        ("17", True),
        ("Pow(Symbol('s0'), Integer(2))", True),
        ("9**9**9**9", False),
        ("Pow(9, 387420489)", False),
        ("LShift(1, 999999999)", False),
        ("Symbol('os')", False),
        ("().__class__", False),
        ("(lambda: 1)()", False),
        ("Integer(2)(3)", False),
        ("eval('1')", False),
        ("s27[0]", False),
        ("os", False),
        ("1 +", False),
    ],
)
def test_formulas(text: str, safe: bool) -> None:
    assert is_size(text) is safe


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("torch.ops.aten.add.Tensor", True),
        ("_operator.getitem", True),
        ("torch.ops.aten.add_.Tensor", True),
        ("torch.ops.aten._assert_tensor_metadata.default", True),
        ("torch.ops.higher_order.wrap_with_set_grad_enabled", True),
        ("conv.weight", False),
        ("torch.ops.aten.from_file.default", False),
        ("torch.ops.aten.set_.source_Storage", False),
        ("torch.ops.aten.add.out", False),
        ("torch.ops.aten.add.__globals__", False),
        ("torch._functorch.predispatch._vmap_increment_nesting", False),
        ("torch.ops.load_library", False),
        ("torch.ops.mine.run.default", False),
        ("torch.hub.load", False),
        ("_operator.attrgetter", False),
        ("torch.sym_max.__globals__", False),
        ("#anything:else", False),
    ],
)
def test_targets(text: str, safe: bool) -> None:
    assert is_program_operator(text) is safe


def test_a_newer_format(convert: Convert, model_file: Any, tmp_path: Path) -> None:
    def change(content: bytes) -> bytes:
        document = json.loads(content)
        document["schema_version"]["major"] = 99
        return json.dumps(document).encode()

    path = with_record(model_file("pt2", "Images"), tmp_path / "new.pt2", "models/model.json", change)
    with pytest.raises(
        InputError, match=r"was written by a newer PyTorch \(schema 99, this PyTorch reads up to \d"
    ):
        convert(path)


def test_shapes_come_from_the_program(convert: Convert, model_file: Any) -> None:
    report = convert(model_file("pt2", "Images"), max_batch_size=4)
    assert (report.inputs, report.batch, report.fixed_batch) == (["3,12,12"], 4, False)
    assert report.comparison.samples == 16


def test_a_fixed_batch(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "fixed.pt2"
    torch.export.save(torch.export.export(make("Images"), (example("Images", 3),)), path)
    report = convert(path)
    assert (report.batch, report.fixed_batch) == (3, True)
    with pytest.raises(
        InputError, match="captured for batches of exactly 3; capture it again with a dynamic batch"
    ):
        convert(path, to="train")


def test_training_mode(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "train.pt2"
    torch.export.save(torch.export.export(Images().train(), (example("Images"),)), path)
    with pytest.raises(InputError, match=r"other results each time|captured in training mode"):
        convert(path)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, batch: dict[str, Tensor], *, scale: Tensor) -> dict[str, Any]:
        logits = self.linear(batch["x"]) * batch["w"][:, None]
        return {"logits": logits, "aux": (logits * scale,)}


def test_inputs_in_dictionaries_and_by_name(convert: Convert, tmp_path: Path) -> None:
    model, batch = Nested().eval(), torch.export.Dim("batch", min=1, max=8)
    x, w, scale = torch.randn(2, 4), torch.randn(2), torch.randn(2, 1)
    shapes = {"batch": {"x": {0: batch}, "w": {0: batch}}, "scale": {0: batch}}
    program = torch.export.export(
        model, ({"x": x, "w": w},), {"scale": scale}, dynamic_shapes=shapes, strict=False
    )
    torch.export.save(program, tmp_path / "net.pt2")
    report = convert(tmp_path / "net.pt2", max_batch_size=4)
    assert (report.batch, report.inputs) == (4, ["4", "", "1"])
    assert report.returned == ["logits", "aux.0"]
    found = InferenceProgram(report.outputs[0])
    logits, scaled = found.run(x, w, scale)
    expected = model({"x": x, "w": w}, scale=scale)
    torch.testing.assert_close(logits, expected["logits"], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scaled, expected["aux"][0], rtol=1e-4, atol=1e-5)


def test_a_size_is_chosen_where_several_are_taken(convert: Convert, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    sizes = {0: torch.export.Dim("batch", max=8), 2: torch.export.Dim("height", min=6, max=64)}
    program = torch.export.export(model, (torch.randn(2, 3, 9, 12),), dynamic_shapes=(sizes,))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(UsageError, match=r"several shapes: 3,6\.\.64,12; choose one"):
        convert(tmp_path / "net.pt2")
    report = convert(tmp_path / "net.pt2", input_shape=["3,20,12"])
    assert report.inputs == ["3,20,12"]
    found, x = InferenceProgram(report.outputs[0]), torch.randn(1, 3, 20, 12)
    torch.testing.assert_close(found.run(x)[0], model(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match="fails on the inputs"):
        convert(tmp_path / "net.pt2", input_shape=["3,20,13"])
