from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from executorch.exir._serialize.data_serializer import DataEntry, DataPayload
from executorch.exir.scalar_type import ScalarType
from executorch.exir.tensor_layout import TensorLayout
from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

from edgetrain.artifacts.tensors import DIGEST_KEY, digest, read_tensors, replace_tensors, write_tensors
from edgetrain.errors import InputError


def _tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "layer.weight": torch.randn(5, 3),
        "layer.bias": torch.zeros(5),
        "other.bias": torch.zeros(5),
        "count": torch.tensor(2**40),
        "ids": torch.arange(7),
        "scalar": torch.tensor(1.5),
        "empty": torch.empty(0, 4),
        "mask": torch.tensor([True, False]),
        "half": torch.ones(3, dtype=torch.float16),
        "bytes": torch.arange(9, dtype=torch.uint8).reshape(3, 3).t(),
        "ünïcode": torch.ones(1),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "w.ptd", _tensors())
    return tmp_path / "w.ptd"


def test_round_trip(path: Path) -> None:
    file = read_tensors(path)
    assert file.digest_offset is not None
    assert set(file.entries) == set(_tensors())
    for name, tensor in _tensors().items():
        read = file.tensor(name)
        assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(read, tensor), name


def test_executorch_reads_the_same_bytes(path: Path) -> None:
    payload = FlatTensorSerializer().deserialize(path.read_bytes())
    assert set(payload.named_data) == {*_tensors(), DIGEST_KEY}
    for name, tensor in _tensors().items():
        entry = payload.named_data[name]
        assert bytes(payload.buffers[entry.buffer_index]) == tensor.contiguous().numpy().tobytes(), name
        assert entry.tensor_layout is not None
        assert list(entry.tensor_layout.sizes) == list(tensor.shape)
    places = [entry.buffer_index for entry in payload.named_data.values()]
    assert len(set(places)) == len(places)


def test_program_weights_are_in_the_order_of_nothing_but_their_names(tmp_path: Path) -> None:
    tensors = _tensors()
    write_tensors(tmp_path / "a.ptd", tensors)
    write_tensors(tmp_path / "b.ptd", dict(reversed(tensors.items())))
    write_tensors(tmp_path / "c.ptd", {**tensors, "scalar": torch.tensor([1.5])})
    pairings = [read_tensors(tmp_path / f"{n}.ptd").pairing for n in "abc"]
    assert pairings[0] == pairings[1] != pairings[2]


def _refused(path: Path) -> bool:
    try:
        read_tensors(path)
    except InputError:
        return True
    return False


def test_every_bit_flip_and_truncation_is_refused(path: Path) -> None:
    good = path.read_bytes()
    draw = random.Random(1)
    # All of the header and tables, which steer the reader, are tried; of the rest a sample.
    positions = [draw.randrange(len(good) * 8) for _ in range(300)]
    positions += [draw.randrange(1500 * 8) for _ in range(300)]
    for position in positions:
        data = bytearray(good)
        data[position // 8] ^= 1 << position % 8
        path.write_bytes(data)
        assert _refused(path), f"bit {position} of {len(good) * 8} was flipped without being noticed"
    for length in [draw.randrange(len(good)) for _ in range(50)] + [len(good) - 1]:
        path.write_bytes(good[:length])
        assert _refused(path), f"cut to {length} of {len(good)} bytes without being noticed"
    path.write_bytes(good + b"\0")
    with pytest.raises(InputError, match="digest"):
        read_tensors(path)


def test_no_bit_of_the_tables_can_hide_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "w.ptd"
    write_tensors(path, {"a": torch.ones(2), "b": torch.ones(3), "z": torch.ones(2)})
    good = path.read_bytes()
    for position in range(0, len(good) * 8, 7):
        data = bytearray(good)
        data[position // 8] ^= 1 << position % 8
        path.write_bytes(data)
        assert _refused(path), f"bit {position} was flipped without being noticed"


def test_replacing_changes_the_given_tensors_only(path: Path, tmp_path: Path) -> None:
    source = read_tensors(path)
    new = {"layer.bias": torch.full((5,), 3.0), "count": torch.tensor(-1), "empty": torch.empty(0, 4)}
    replace_tensors(source, tmp_path / "new.ptd", new)
    result = read_tensors(tmp_path / "new.ptd")
    for name, tensor in {**_tensors(), **new}.items():
        assert torch.equal(result.tensor(name), tensor), name
    assert result.digest_offset == source.digest_offset is not None
    changed = {i for i, (a, b) in enumerate(zip(source.data, result.data, strict=True)) if a != b}
    allowed = set(range(source.digest_offset, source.digest_offset + 32))
    for name in new:
        entry = source.entries[name]
        allowed |= set(range(entry.offset, entry.offset + entry.size))
    assert changed <= allowed
    stored = result.data[source.digest_offset :][:32]
    assert stored == digest(result.data, source.digest_offset)
    assert read_tensors(path).data == source.data


@pytest.mark.parametrize(
    "tensor", [torch.zeros(6), torch.zeros(5, 1), torch.zeros(5, dtype=torch.float64)], ids=str
)
def test_replacing_refuses_another_layout(path: Path, tmp_path: Path, tensor: torch.Tensor) -> None:
    with pytest.raises(InputError, match=r"layer\.bias does not fit"):
        replace_tensors(read_tensors(path), tmp_path / "new.ptd", {"layer.bias": tensor})
    with pytest.raises(InputError, match="nobody does not fit"):
        replace_tensors(read_tensors(path), tmp_path / "new.ptd", {"nobody": tensor})
    assert not (tmp_path / "new.ptd").exists()


def test_files_of_executorch_are_read_without_digest(tmp_path: Path) -> None:
    """Two names may share their bytes there: replacing one must not change the other."""
    layout = TensorLayout(ScalarType.FLOAT, [2], [0])
    named = {"a": DataEntry(0, 16, layout), "b": DataEntry(0, 16, layout)}
    raw = torch.tensor([1.0, 2.0]).numpy().tobytes()
    data = bytes(FlatTensorSerializer().serialize(DataPayload(buffers=[raw], named_data=named)))
    (tmp_path / "foreign.ptd").write_bytes(data)
    source = read_tensors(tmp_path / "foreign.ptd")
    assert source.digest_offset is None
    assert source.tensors()["b"].tolist() == [1.0, 2.0]
    replace_tensors(source, tmp_path / "new.ptd", {"a": torch.zeros(2)})
    result = read_tensors(tmp_path / "new.ptd").tensors()
    assert (result["a"].tolist(), result["b"].tolist()) == ([0.0, 0.0], [1.0, 2.0])


def test_what_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="w has dtype bfloat16"):
        write_tensors(tmp_path / "w.ptd", {"w": torch.ones(2, dtype=torch.bfloat16)})


def test_what_is_no_ptd(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="can't read"):
        read_tensors(tmp_path / "missing.ptd")
    for content in (b"", b"1234", b"hello world, hello world", b"\0\0\0\0FT01"):
        (tmp_path / "x.ptd").write_bytes(content)
        with pytest.raises(InputError, match=r"is no \.ptd file|damaged or cut short"):
            read_tensors(tmp_path / "x.ptd")
