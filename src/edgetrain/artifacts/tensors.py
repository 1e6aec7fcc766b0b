"""NAME.ptd: tensors by name in ExecuTorch's flat-tensor format, with a digest of the whole file inside.

A .ptd of ours is one any ExecuTorch runtime can load. It holds one more entry than the tensors,
`edgetrain.sha256`: the SHA-256 of the file with these 32 bytes set to zero. A damaged file is therefore
recognised from itself alone, and one atomic rename replaces weights and digest together.
"""

from __future__ import annotations

import hashlib
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from ..errors import InputError
from .atomic import write_bytes
from .flatbuffer import FlatTable
from .tensor_stream import (
    CONTENTS_KEY,
    DIGEST_BYTES,
    DIGEST_KEY,
    DTYPES,
    METADATA_KEYS,
    TensorStream,
    raw_bytes,
    write_tensor_streams,
)

if TYPE_CHECKING:
    import torch

WeightsContent = Literal["full", "trainable", "delta"]

_MAGIC = b"FT01"
_HEADER_MAGIC = b"FH01"
_HEADER = struct.Struct("<4sIQQQQ")  # magic, length, flatbuffer offset and size, segment base offset and size
_HEADER_OFFSET = 8
# By dtype.
ITEM_BYTES = {
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "bool": 1,
}


class Contents(BaseModel):
    """What a file of weights holds: all of a program's weights, those that training changes, or by how much
    these differ from a base.

    Attributes:
        base: SHA-256 of the file of full weights that the rest comes from; None where these are all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    holds: WeightsContent = "full"
    base: str | None = None

    @model_validator(mode="after")
    def _based(self) -> Contents:
        if (self.holds == "full") != (self.base is None):
            raise ValueError("full weights have no base, all others have one")
        return self


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies: `data[offset : offset + size]`, in row-major order."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int
    size: int


@dataclass(frozen=True)
class TensorFile:
    """A parsed .ptd.

    Attributes:
        data: the whole file, read or mapped.
        metadata: entries that are no tensors, by name.
    """

    data: bytes | mmap.mmap
    entries: dict[str, TensorEntry]
    digest_offset: int | None
    metadata: dict[str, bytes] = field(default_factory=dict)

    def tensor(self, name: str) -> torch.Tensor:
        """A copy of one tensor."""
        import torch

        entry = self.entries[name]
        dtype = getattr(torch, entry.dtype)
        if entry.size == 0:
            return torch.empty(entry.shape, dtype=dtype)
        raw = bytearray(self.data[entry.offset : entry.offset + entry.size])
        return torch.frombuffer(raw, dtype=dtype).reshape(entry.shape)

    def view(self, name: str) -> torch.Tensor:
        """One tensor of a mapped file, whose pages are read when they are looked at."""
        import torch

        entry = self.entries[name]
        dtype = getattr(torch, entry.dtype)
        if entry.size == 0:
            return torch.empty(entry.shape, dtype=dtype)
        flat = torch.frombuffer(
            self.data, dtype=dtype, offset=entry.offset, count=entry.size // dtype.itemsize
        )
        return flat.reshape(entry.shape)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Copies of all tensors."""
        return {name: self.tensor(name) for name in self.entries}

    @property
    def contents(self) -> Contents:
        """What the tensors are, as weights of a program; all of them where nothing is said.

        Raises:
            ValueError: what is said can't be read.
        """
        text = self.metadata.get(CONTENTS_KEY)
        return Contents() if text is None else Contents.model_validate_json(text)

    @property
    def pairing(self) -> str:
        """The hash by which a program recognises weights that are laid out as its own."""
        return pairing_hash((e.name, e.shape, e.dtype) for e in self.entries.values())


def pairing_hash(tensors: object) -> str:
    """SHA-256 over the sorted (name, shape, dtype) of a set of tensors."""
    lines = sorted(f"{name} {list(shape)} {dtype}" for name, shape, dtype in tensors)  # type: ignore[attr-defined]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_tensors(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    *,
    contents: Contents | None = None,
    metadata: Mapping[str, bytes] | None = None,
) -> None:
    """Writes a .ptd atomically; see `write_tensor_streams`.

    Args:
        contents: what the tensors are, where they are weights but not all of a program's.
    """
    streams = {name: TensorStream(tuple(t.shape), t.dtype, [t]) for name, t in tensors.items()}
    texts = dict(metadata or {})
    if contents is not None:
        texts[CONTENTS_KEY] = contents.model_dump_json().encode()
    write_tensor_streams(path, streams, texts)


def replace_tensors(source: TensorFile, path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes `source` to `path` with some tensors' values replaced; names, shapes and dtypes stay.

    Raises:
        InputError: a tensor isn't in `source` or has another shape or dtype there.
    """
    data = bytearray(source.data)
    for name, tensor in tensors.items():
        entry = source.entries.get(name)
        if entry is None or entry.shape != tuple(tensor.shape) or f"torch.{entry.dtype}" != str(tensor.dtype):
            raise InputError(f"{path}: tensor {name} does not fit the weights it should replace")
        data[entry.offset : entry.offset + entry.size] = raw_bytes(tensor)
    places = [entry.offset for entry in source.entries.values() if entry.size]
    if len(set(places)) < len(places):
        # Another writer than ours let equal tensors share their bytes.
        write_tensors(path, {**source.tensors(), **tensors}, metadata=source.metadata)
        return
    if source.digest_offset is not None:
        _seal(data, source.digest_offset)
    write_bytes(path, bytes(data))


def read_tensors(path: Path, *, mapped: bool = False) -> TensorFile:
    """Reads and checks a .ptd: format, bounds, and the digest where there is one (ours always have it).

    Args:
        mapped: leave the content on disk until it is looked at; for large files.
    Raises:
        InputError: missing, truncated, damaged, or not a .ptd.
    """
    try:
        data = _map(path) if mapped else path.read_bytes()
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    if data[4:8] != _MAGIC:
        raise InputError(f"{path} is no .ptd file")
    try:
        parsed = _parse(data)
    except (struct.error, ValueError, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise InputError(f"{path} is damaged or cut short ({error}); export or copy it again") from error
    if parsed.digest_offset is not None:
        stored = data[parsed.digest_offset : parsed.digest_offset + DIGEST_BYTES]
        if digest(data, parsed.digest_offset) != stored:
            raise InputError(
                f"{path} is damaged: its content does not match its digest; export or copy it again"
            )
    return parsed


def has_entry(path: Path, name: str) -> bool:
    """Whether a .ptd has an entry of this name, told from its tables alone; False where it is damaged."""
    with path.open("rb") as file:
        try:
            header = file.read(_HEADER_OFFSET + _HEADER.size)
            _, _, offset, size, _, _ = _HEADER.unpack_from(header, _HEADER_OFFSET)
        except struct.error:
            return False
        if offset + size > path.stat().st_size:
            return False
        file.seek(offset)
        return name.encode() + b"\0" in file.read(size)


def _map(path: Path) -> bytes | mmap.mmap:
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def digest(data: bytes | bytearray | mmap.mmap, offset: int) -> bytes:
    """SHA-256 of a file's bytes with the 32 at `offset` taken as zeros."""
    view = memoryview(data)
    hasher = hashlib.sha256(view[:offset])
    hasher.update(bytes(DIGEST_BYTES))
    hasher.update(view[offset + DIGEST_BYTES :])
    return hasher.digest()


def _seal(data: bytearray, offset: int) -> None:
    data[offset : offset + DIGEST_BYTES] = digest(data, offset)


def _parse(data: bytes | mmap.mmap) -> TensorFile:
    """Follows the flat-tensor schema through the flatbuffer, checking every bound.

    Tables (flat_tensor.fbs): FlatTensor(version, segments, named_data), DataSegment(offset, size),
    NamedData(key, segment_index, tensor_layout), TensorLayout(scalar_type, sizes, dim_order).
    """
    magic, _, flatbuffer_offset, flatbuffer_size, base, segment_bytes = _HEADER.unpack_from(
        data, _HEADER_OFFSET
    )
    if magic != _HEADER_MAGIC:
        raise ValueError("its header is missing")
    if flatbuffer_offset + flatbuffer_size > len(data) or base + segment_bytes > len(data):
        raise ValueError(f"it should have {base + segment_bytes} bytes, but has {len(data)}")
    root = FlatTable(data, struct.unpack_from("<I", data, 0)[0])
    segments = []
    for segment in root.tables(1):
        offset, size = segment.number(0, "<Q"), segment.number(1, "<Q")
        if offset + size > segment_bytes:
            raise ValueError("a tensor lies outside the file")
        segments.append((base + offset, size))
    entries: dict[str, TensorEntry] = {}
    metadata: dict[str, bytes] = {}
    digest_offset = None
    used = set()
    for named in root.tables(2):
        name = named.text(0)
        index = named.number(1, "<I")
        offset, size = segments[index]
        used.add(index)
        if name == DIGEST_KEY:
            if size != DIGEST_BYTES:
                raise ValueError("its digest has a wrong size")
            digest_offset = offset
            continue
        layout = named.table(2)
        if layout is None and name in METADATA_KEYS and name not in metadata:
            metadata[name] = bytes(data[offset : offset + size])
            continue
        if layout is None or name in entries:
            raise ValueError(f"entry {name!r} is no tensor, or there twice")
        entries[name] = _entry(name, layout, offset, size)
    # Otherwise damage could hide the digest's entry, and with it all other damage.
    if len(used) != len(segments) or (segment_bytes and not segments):
        raise ValueError("some of its data belongs to no tensor")
    return TensorFile(data, entries, digest_offset, metadata)


def _entry(name: str, layout: FlatTable, offset: int, size: int) -> TensorEntry:
    number = layout.number(0, "<b")
    if number not in DTYPES:
        raise ValueError(f"tensor {name} has an unknown dtype")
    dtype = DTYPES[number]
    shape = tuple(layout.numbers(1, "<i"))
    items = 1
    for length in shape:
        if length < 0:
            raise ValueError(f"tensor {name} has a negative size")
        items *= length
    if items * ITEM_BYTES[dtype] != size:
        raise ValueError(f"tensor {name} has {size} bytes, its shape needs {items * ITEM_BYTES[dtype]}")
    if layout.numbers(2, "<B") != list(range(len(shape))):
        raise ValueError(f"tensor {name} is not in row-major order")
    return TensorEntry(name, shape, dtype, offset, size)
