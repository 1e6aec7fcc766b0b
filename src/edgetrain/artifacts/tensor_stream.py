"""Writing a .ptd piece by piece, so that its tensors need not fit into memory.

executorch's own `FlatTensorSerializer` takes whole tensors only, and importing it means importing the
compiler.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .atomic import atomic_writer

if TYPE_CHECKING:
    import torch

# Entries that are no tensors: the digest, and JSON texts. Others are refused: one could be the digest's, its
# name damaged.
DIGEST_KEY = "edgetrain.sha256"
CONTENTS_KEY, STATE_KEY = METADATA_KEYS = ("edgetrain.contents", "edgetrain.state")
DIGEST_BYTES = 32
# executorch's ScalarType numbers, which are PyTorch's.
DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
}
_ALIGNMENT = 128
_HEADER_MAGIC = b"FH01"
_HEADER = struct.Struct("<4sIQQQQ")  # magic, length, flatbuffer offset and size, segment base offset and size
_HEADER_ROOM = 48  # the header, padded so that the tables stay aligned


@dataclass(frozen=True)
class TensorStream:
    """A tensor to write.

    Attributes:
        pieces: tensors of this dtype, whose elements in a row are those of the whole tensor.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    pieces: Iterable[torch.Tensor]

    @property
    def bytes(self) -> int:
        """Size of the whole tensor."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_tensor_streams(
    path: Path, tensors: Mapping[str, TensorStream], metadata: Mapping[str, bytes] | None = None
) -> None:
    """Writes a .ptd atomically. Each tensor gets bytes of its own, so that it can later be replaced alone.

    Args:
        metadata: texts by `METADATA_KEYS`.
    Raises:
        InputError: a tensor has a dtype that a .ptd can't hold.
        ValueError: the pieces of a tensor are not as large as its shape says.
    """
    texts = dict(metadata or {})
    sizes = [*(stream.bytes for stream in tensors.values()), *map(len, texts.values()), DIGEST_BYTES]
    segments = _segments(sizes)
    head = _head(tensors, texts, segments)
    hasher = hashlib.sha256()
    with atomic_writer(path) as file:

        def put(data: bytes) -> None:
            file.write(data)
            hasher.update(data)

        put(head)
        end = 0
        for (name, stream), segment in zip(tensors.items(), segments, strict=False):
            put(bytes(segment.offset - end))
            end = segment.offset
            for piece in stream.pieces:
                data = raw_bytes(piece)
                put(data)
                end += len(data)
            if end != segment.offset + segment.size:
                raise ValueError(f"the pieces of tensor {name} don't make up {list(stream.shape)}")
        for text, segment in zip(texts.values(), segments[len(tensors) :], strict=False):
            put(bytes(segment.offset - end))
            put(text)
            end = segment.offset + segment.size
        put(bytes(segments[-1].offset - end))
        hasher.update(bytes(DIGEST_BYTES))
        file.write(hasher.digest())


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """The elements in row-major order."""
    return tensor.detach().cpu().contiguous().numpy().tobytes()


@dataclass(frozen=True)
class _Segment:
    """Where some data lies, relative to the end of the head."""

    offset: int
    size: int


def _segments(sizes: list[int]) -> list[_Segment]:
    """Places for data of these sizes."""
    segments = []
    end = 0
    for size in sizes:
        segments.append(_Segment(_aligned(end, _ALIGNMENT), size))
        end = segments[-1].offset + size
    return segments


def _head(tensors: Mapping[str, TensorStream], metadata: Iterable[str], segments: list[_Segment]) -> bytes:
    """All that comes before the data: the tables, and the header between their first 8 bytes and the rest."""
    tables = _tables(tensors, metadata, segments)
    base = _aligned(_HEADER_ROOM + len(tables), _ALIGNMENT)
    end = segments[-1].offset + segments[-1].size
    header = _HEADER.pack(_HEADER_MAGIC, _HEADER.size, _HEADER_ROOM, len(tables), base, end)
    # Offsets in tables are relative; only the root's is counted from the start of the file.
    root = struct.pack("<I", struct.unpack_from("<I", tables)[0] + _HEADER_ROOM)
    head = root + tables[4:8] + header.ljust(_HEADER_ROOM, b"\0") + tables[8:]
    return head.ljust(base, b"\0")


def _tables(tensors: Mapping[str, TensorStream], metadata: Iterable[str], segments: list[_Segment]) -> bytes:
    """The flatbuffer; fields by their number as in executorch's flat_tensor.fbs."""
    import flatbuffers

    numbers = {name: number for number, name in DTYPES.items()}
    out = flatbuffers.Builder(1024)

    def table(*fields: tuple[str, int]) -> int:
        out.StartObject(len(fields))
        for index, (kind, value) in enumerate(fields):
            getattr(out, f"Prepend{kind}Slot")(index, value, 0)
        return int(out.EndObject())

    def offsets(items: list[int]) -> int:
        out.StartVector(4, len(items), 4)
        for item in reversed(items):
            out.PrependUOffsetTRelative(item)
        return int(out.EndVector())

    def layout(name: str, stream: TensorStream) -> int:
        dtype = str(stream.dtype).removeprefix("torch.")
        if dtype not in numbers:
            raise InputError(f"tensor {name} has dtype {dtype}, which a .ptd can't hold")
        out.StartVector(4, len(stream.shape), 4)
        for length in reversed(stream.shape):
            out.PrependInt32(length)
        sizes = int(out.EndVector())
        order = int(out.CreateByteVector(bytes(range(len(stream.shape)))))
        return table(("Int8", numbers[dtype]), ("UOffsetTRelative", sizes), ("UOffsetTRelative", order))

    named = []
    for index, name in enumerate([*tensors, *metadata, DIGEST_KEY]):
        described = layout(name, tensors[name]) if name in tensors else 0
        key = int(out.CreateString(name))
        named.append(table(("UOffsetTRelative", key), ("Uint32", index), ("UOffsetTRelative", described)))
    places = [table(("Uint64", segment.offset), ("Uint64", segment.size)) for segment in segments]
    fields = (("Uint32", 0), ("UOffsetTRelative", offsets(places)), ("UOffsetTRelative", offsets(named)))
    out.Finish(table(*fields), file_identifier=b"FT01")
    return bytes(out.Output())


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
