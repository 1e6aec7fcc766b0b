"""Writing a .ptd piece by piece: executorch's own bytes, and nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from executorch.exir._serialize.data_serializer import DataEntry, DataPayload
from executorch.exir.scalar_type import ScalarType
from executorch.exir.tensor_layout import TensorLayout
from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

from edgetrain.artifacts.tensor_stream import DIGEST_KEY, TensorStream, write_tensor_streams
from edgetrain.artifacts.tensors import read_tensors
from edgetrain.errors import InputError

VALUES = torch.arange(60, dtype=torch.float32).reshape(20, 3)
LABELS = torch.arange(20)


def streams(pieces: list[torch.Tensor]) -> dict[str, TensorStream]:
    return {
        "inputs": TensorStream((20, 3), torch.float32, pieces),
        "empty": TensorStream((0, 4), torch.float32, []),
        "targets": TensorStream((20,), torch.int64, [LABELS]),
        "scalar": TensorStream((), torch.int64, [torch.tensor(7)]),
    }


@pytest.mark.parametrize("size", [1, 7, 20])
def test_the_bytes_are_those_of_executorch(tmp_path: Path, size: int) -> None:
    write_tensor_streams(tmp_path / "a.ptd", streams(list(VALUES.split(size))))
    data = (tmp_path / "a.ptd").read_bytes()
    whole = {
        "inputs": (VALUES, ScalarType.FLOAT),
        "empty": (torch.empty(0, 4), ScalarType.FLOAT),
        "targets": (LABELS, ScalarType.LONG),
        "scalar": (torch.tensor(7), ScalarType.LONG),
    }
    named = {
        name: DataEntry(i, 16, TensorLayout(kind, list(t.shape), list(range(t.dim()))))
        for i, (name, (t, kind)) in enumerate(whole.items())
    }
    named[DIGEST_KEY] = DataEntry(len(named), 16, None)
    buffers = [*(t.numpy().tobytes() for t, _ in whole.values()), bytes(32)]
    expected = bytes(FlatTensorSerializer().serialize(DataPayload(buffers=buffers, named_data=named)))
    assert data[:-32] == expected[:-32]
    assert data[-32:] != expected[-32:] == bytes(32)
    assert read_tensors(tmp_path / "a.ptd").digest_offset == len(data) - 32


def test_pieces_that_do_not_make_up_the_shape(tmp_path: Path) -> None:
    path = tmp_path / "a.ptd"
    path.write_text("old")
    for pieces in ([VALUES[:19]], [VALUES, VALUES[:1]], []):
        with pytest.raises(ValueError, match=r"tensor inputs don't make up \[20, 3\]"):
            write_tensor_streams(path, streams(pieces))
    with pytest.raises(InputError, match="dtype complex64"):
        write_tensor_streams(path, {"x": TensorStream((1,), torch.complex64, [])})
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.ptd", "old")]


def test_a_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ptd"
    write_tensor_streams(path, streams([VALUES]))
    mapped = read_tensors(path, mapped=True)
    assert mapped.entries == read_tensors(path).entries
    assert torch.equal(mapped.view("inputs"), VALUES)
    assert mapped.view("empty").shape == (0, 4)
    assert int(mapped.view("scalar")) == 7
    assert torch.equal(mapped.tensor("targets"), LABELS)
    before = path.read_bytes()
    mapped.view("targets")[0] = 5
    assert path.read_bytes() == before
    inputs = mapped.view("inputs")
    del mapped
    path.unlink()
    assert torch.equal(inputs, VALUES)


def test_damage_in_a_mapped_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ptd"
    write_tensor_streams(path, streams([VALUES]))
    good = path.read_bytes()
    for bad, message in (
        (good[:-40] + b"x" + good[-39:], "does not match its digest"),
        (good[:-1], "cut short"),
        (b"", r"is no \.ptd file"),
    ):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=message):
            read_tensors(path, mapped=True)
