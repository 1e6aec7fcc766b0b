"""Writing a .ptd piece by piece, so that its tensors need not fit into memory.

The bytes are those of executorch's own `FlatTensorSerializer`, which takes whole tensors only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..upstream import flat_tensor_tables, insert_flat_tensor_header
from .atomic import atomic_writer

if TYPE_CHECKING:
    import torch
    from executorch.extension.flat_tensor.serialize.flat_tensor_schema import DataSegment

# Entries that are no tensors: the digest, and JSON texts of ours.
RESERVED = "edgetrain."
DIGEST_KEY = f"{RESERVED}sha256"
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
        metadata: further entries by name (`edgetrain.` in front), which are no tensors.
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


def _segments(sizes: list[int]) -> list[DataSegment]:
    """Places for data of these sizes, relative to the end of the head."""
    from executorch.extension.flat_tensor.serialize.flat_tensor_schema import DataSegment

    segments = []
    end = 0
    for size in sizes:
        segments.append(DataSegment(offset=_aligned(end, _ALIGNMENT), size=size))
        end = segments[-1].offset + size
    return segments


def _head(tensors: Mapping[str, TensorStream], metadata: Iterable[str], segments: list[DataSegment]) -> bytes:
    """All that comes before the data: header and tables."""
    from executorch.exir.scalar_type import ScalarType
    from executorch.exir.tensor_layout import TensorLayout
    from executorch.extension.flat_tensor.serialize.flat_tensor_schema import FlatTensor, NamedData
    from executorch.extension.flat_tensor.serialize.serialize import FlatTensorHeader

    scalar_types = {name: ScalarType(number) for number, name in DTYPES.items()}
    named = []
    for index, (name, stream) in enumerate(tensors.items()):
        dtype = str(stream.dtype).removeprefix("torch.")
        if dtype not in scalar_types:
            raise InputError(f"tensor {name} has dtype {dtype}, which a .ptd can't hold")
        shape = list(stream.shape)
        named.append(
            NamedData(name, index, TensorLayout(scalar_types[dtype], shape, list(range(len(shape)))))
        )
    for name in (*metadata, DIGEST_KEY):
        named.append(NamedData(name, len(named), None))
    tables = flat_tensor_tables(FlatTensor(0, segments, named))
    start = _aligned(FlatTensorHeader.EXPECTED_LENGTH, 16)
    base = _aligned(start + len(tables), _ALIGNMENT)
    header = FlatTensorHeader(
        flatbuffer_offset=start,
        flatbuffer_size=len(tables),
        segment_base_offset=base,
        segment_data_size=segments[-1].offset + segments[-1].size,
    ).to_bytes()
    return insert_flat_tensor_header(tables, header.ljust(start, b"\0")).ljust(base, b"\0")


def _aligned(position: int, alignment: int) -> int:
    return -(-position // alignment) * alignment
