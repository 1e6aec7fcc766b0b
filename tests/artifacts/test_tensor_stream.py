"""Writing a .ptd piece by piece: what executorch reads, and nothing half-written."""

from __future__ import annotations

import struct
import subprocess
import sys
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
def test_executorch_reads_it(tmp_path: Path, size: int) -> None:
    write_tensor_streams(tmp_path / "a.ptd", streams(list(VALUES.split(size))), {"edgetrain.state": b"{}"})
    data = (tmp_path / "a.ptd").read_bytes()
    found = FlatTensorSerializer().deserialize(data)
    whole = {"inputs": VALUES, "empty": torch.empty(0, 4), "targets": LABELS, "scalar": torch.tensor(7)}
    assert list(found.named_data) == [*whole, "edgetrain.state", DIGEST_KEY]
    for name, tensor in whole.items():
        entry = found.named_data[name]
        assert found.buffers[entry.buffer_index] == tensor.numpy().tobytes()
        kind = ScalarType.FLOAT if tensor.is_floating_point() else ScalarType.LONG
        order = list(range(tensor.dim()))
        assert entry.tensor_layout == TensorLayout(kind, list(tensor.shape), order)
    for name in ("edgetrain.state", DIGEST_KEY):
        assert found.named_data[name].tensor_layout is None
    assert found.buffers[found.named_data["edgetrain.state"].buffer_index] == b"{}"
    parsed = read_tensors(tmp_path / "a.ptd")
    assert parsed.digest_offset == len(data) - 32
    assert all(entry.offset % 128 == 0 for entry in parsed.entries.values())


def test_the_head_is_laid_out_as_executorch_lays_it_out(tmp_path: Path) -> None:
    """The same tensors take the same places in a file of `FlatTensorSerializer`."""
    write_tensor_streams(tmp_path / "a.ptd", {"x": TensorStream((20, 3), torch.float32, [VALUES])})
    named = {
        "x": DataEntry(0, 16, TensorLayout(ScalarType.FLOAT, [20, 3], [0, 1])),
        DIGEST_KEY: DataEntry(1, 16, None),
    }
    payload = DataPayload(buffers=[VALUES.numpy().tobytes(), bytes(32)], named_data=named)
    (tmp_path / "b.ptd").write_bytes(theirs := bytes(FlatTensorSerializer().serialize(payload)))
    ours = (tmp_path / "a.ptd").read_bytes()
    assert ours[4:12] == theirs[4:12] == b"FT01FH01"
    header = struct.Struct("<IQQQQ")  # length, tables' offset and size, segments' offset and size
    (length, start, _, _, segments), theirs_at = header.unpack_from(ours, 12), header.unpack_from(theirs, 12)
    assert (length, start, segments) == (theirs_at[0], theirs_at[1], theirs_at[4])


def test_writing_needs_no_compiler(tmp_path: Path) -> None:
    """A device's tools write states and weights; importing executorch.exir would take them seconds."""
    code = (
        "import sys, torch; from pathlib import Path; from edgetrain.artifacts.tensors import write_tensors; "
        f"write_tensors(Path({str(tmp_path / 'a.ptd')!r}), {{'x': torch.ones(2)}}); "
        "sys.exit(any(name.startswith('executorch') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


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
