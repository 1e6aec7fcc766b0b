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

from edgetrain.convert.foreign_operators import is_program_operator
from edgetrain.convert.formulas import is_size
from edgetrain.errors import InputError

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
