"""Files of torch.save read without PyTorch's unpickler: the same values, and less than they ask for."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.unpickling import arrays_as_tensors, read_torch_file, stand_ins_in
from edgetrain.artifacts.unpickling.constructors import Array
from edgetrain.errors import InputError
from edgetrain.upstream.values import leaves


def _tensors() -> dict[str, Any]:
    base = torch.arange(24.0).reshape(4, 6)
    return {
        **{str(d): torch.ones(3).to(d) for d in (torch.float16, torch.bfloat16, torch.int8, torch.bool)},
        "view": base[1:, ::2], "transposed": base.t(), "whole": base, "scalar": torch.tensor(7),
        "empty": torch.empty(0, 3), "expanded": torch.ones(1).expand(5, 4),
        "conjugated": torch.randn(3, dtype=torch.complex64).conj(),
        "negative": torch.randn(3, dtype=torch.complex64).conj().imag,
        "parameter": nn.Parameter(torch.randn(2)), "size": base.shape, "dtype": torch.float64,
        "device": torch.device("cuda", 1), "state": OrderedDict(a=1),
    }  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False])
def test_the_same_as_torch_load(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pth"
    torch.manual_seed(0)
    torch.save(_tensors(), path, _use_new_zipfile_serialization=zipped)
    ours, theirs = read_torch_file(path), torch.load(path, weights_only=True)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if not isinstance(value, Tensor):
            assert ours[name] == value
            continue
        assert ours[name].dtype == value.dtype, name
        assert ours[name].stride() == value.stride(), name
        assert torch.equal(ours[name], value.detach()), name
    # Two views of one storage still are.
    ours["whole"][1, 0] = 99
    assert ours["view"][0, 0] == 99


@pytest.mark.parametrize("zipped", [True, False])
def test_optimizers(tmp_path: Path, zipped: bool) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    saved = {"m": model.state_dict(), "o": optimizer.state_dict()}
    torch.save(saved, tmp_path / "x", _use_new_zipfile_serialization=zipped)
    ours, theirs = read_torch_file(tmp_path / "x"), torch.load(tmp_path / "x", weights_only=True)
    for a, b in zip(leaves(ours), leaves(theirs), strict=True):
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b


def test_numpy(tmp_path: Path) -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3)
    saved = {
        "array": array,
        "columns": np.asfortranarray(array),
        "number": np.float32(0.5),
        "truth": np.bool_(True),
    }
    torch.save(saved, tmp_path / "x")
    for content in (None, b"numpy.core.multiarray"):
        if content:
            # As numpy 1 called it.
            _replace(tmp_path / "x", b"numpy._core.multiarray", content)
        found = read_torch_file(tmp_path / "x")
        assert (found["number"], found["truth"]) == (0.5, True)
        assert isinstance(found["array"], Array)
        assert np.array_equal(found["array"].value, array)
        assert np.array_equal(found["columns"].value, array)


def test_modules_are_stand_ins(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(2, 3)}, tmp_path / "x")
    module = read_torch_file(tmp_path / "x")["model"]
    assert module.is_module
    assert module.attributes["_parameters"]["weight"].shape == (3, 2)
    assert [found.name for found in stand_ins_in(module)] == ["torch.nn.modules.linear.Linear"]


class _Pickler(pickle.Pickler):
    """Writes tuples that begin with "storage" as references to tensors."""

    def persistent_id(self, value: object) -> object:
        return tuple(value[1:]) if isinstance(value, list) and value[:1] == ["reference"] else None


def _file(path: Path, payload: Any, data: bytes = bytes(16)) -> Path:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(payload)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a/data.pkl", buffer.getvalue())
        file.writestr("a/data/0", data)
    return path


class _Tensor:
    def __init__(self, *args: Any) -> None:
        self.args = args

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, (*self.args, False, OrderedDict())


FOUR = ["reference", "storage", torch.FloatStorage, "0", "cpu", 4]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (["reference", "storage", torch.FloatStorage, "0", "cpu", 5], "asks for 20 bytes of a tensor, but"),
        (["reference", "storage", torch.FloatStorage, "0", "cpu", 2**60], "asks for"),
        (["reference", "storage", torch.FloatStorage, "0", "cpu", -1], "a tensor of no size"),
        (["reference", "storage", torch.FloatStorage, "../../etc/passwd", "cpu", 4], "but has 0"),
        (["reference", "storage", Path, "0", "cpu", 4], "which is no type of numbers"),
        (["reference", "file", "x"], "refers to something outside of it"),
        (["reference", 7], "refers to something outside of it"),
        (_Tensor(FOUR, 1, (2, 2), (2, 1)), "larger than what is stored"),
        (_Tensor(FOUR, 0, (2, 2), (4, 1)), "larger than what is stored"),
        (_Tensor(FOUR, 0, (2,), (-1,)), "an impossible shape"),
        (_Tensor(FOUR, -1, (2,), (1,)), "an impossible shape"),
        (_Tensor(FOUR, 0, (2**40, 2**40), (0, 0)), "an impossible shape"),
        (_Tensor(FOUR, 0, (2,), (1, 1)), "an impossible shape"),
        (_Tensor(FOUR, 0, (1,) * 70, (1,) * 70), "an impossible shape"),
        (_Tensor("nothing", 0, (1,), (1,)), "a tensor of nothing"),
    ],
)  # fmt: skip
def test_tensors_of_more_than_there_is(tmp_path: Path, payload: Any, message: str) -> None:
    path = _file(tmp_path / "x.pth", payload)
    with pytest.raises(InputError, match=rf"x\.pth is damaged or refused: it .*{message}"):
        read_torch_file(path)


def test_damage(tmp_path: Path) -> None:
    for zipped in (True, False):
        path = tmp_path / "x.pth"
        torch.save({"w": torch.ones(50)}, path, _use_new_zipfile_serialization=zipped)
        content = path.read_bytes()
        for at in (0, 5, 60, len(content) // 2, len(content) - 3):
            path.write_bytes(content[:at])
            with pytest.raises(InputError, match=r"x\.pth is (damaged|cut short)"):
                read_torch_file(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="damaged or refused"):
        read_torch_file(path)


def _replace(path: Path, old: bytes, new: bytes) -> None:
    with zipfile.ZipFile(path) as file:
        records = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, content in records.items():
            file.writestr(name, content.replace(old, new))


@pytest.mark.parametrize("protocol", [2, 4])
def test_what_pickle_wrote(tmp_path: Path, protocol: int) -> None:
    """Tensors in it are files of torch.save in themselves."""
    base = torch.arange(6.0).reshape(2, 3)
    saved = {
        "a": base,
        "b": base.t(),
        "c": torch.tensor([True, False]),
        "n": np.ones((2, 2), ">f4"),
        "i": [1],
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(saved, protocol=protocol))
    found = arrays_as_tensors(read_torch_file(tmp_path / "x.pkl"))
    for name in "abc":
        assert torch.equal(found[name], saved[name])
    assert torch.equal(found["n"], torch.ones(2, 2))
    assert found["i"] == [1]


class Loading:
    """Has a tensor read from bytes of the attacker's choice."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce__(self) -> Any:
        return torch.storage._load_from_bytes, (self.content,)


class Harmful:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.proof}",)


def test_bytes_of_tensors_in_pickles_run_nothing(tmp_path: Path) -> None:
    proof, path = tmp_path / "proof", tmp_path / "x.pkl"
    inside = io.BytesIO()
    torch.save(Harmful(proof), inside, _use_new_zipfile_serialization=False)
    path.write_bytes(pickle.dumps({"w": Loading(inside.getvalue())}))
    names = [found.name for found in stand_ins_in(read_torch_file(path))]
    assert names == ["posix.system"]
    assert not proof.exists()
    for content in (b"", b"damaged", 7, inside.getvalue()[:40]):
        path.write_bytes(pickle.dumps(Loading(content)))
        with pytest.raises(InputError, match="damaged or refused"):
            read_torch_file(path)


def test_bytes_of_tensors_hold_no_others(tmp_path: Path) -> None:
    """Or any depth could be reached."""
    deeper = io.BytesIO()
    torch.save(Loading(b"more"), deeper, _use_new_zipfile_serialization=False)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(Loading(deeper.getvalue())))
    found = read_torch_file(tmp_path / "x.pkl")
    assert [stand_in.name for stand_in in stand_ins_in(found)] == ["torch.storage._load_from_bytes"]
