"""Tensors of a pickle: parts of storages, which are read from the file when one is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...upstream.values import negative_view
from .machine import DamagedPickleError
from .stand_ins import Global, StandIn

# Storages of other types are of quantized tensors, which nothing here reads.
_TYPES = {
    "FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool, "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128, "UntypedStorage": torch.uint8,
    "QInt8Storage": torch.int8, "QUInt8Storage": torch.uint8, "QInt32Storage": torch.int32,
}  # fmt: skip
_MOST_DIMENSIONS = 64
_LARGEST = 2**62
DTYPES = {str(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)}

ReadBytes = Callable[[str, int], Tensor]


class Storage:
    """Numbers of one type, as a tensor [N] that other tensors are views of."""

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers


class Storages:
    """The storages of a file by their keys.

    Args:
        read: key and size in bytes → the bytes as uint8 [N]. It raises DamagedPickleError where the file has
            no so many.
    """

    def __init__(self, read: ReadBytes) -> None:
        self._read = read
        self._bytes: dict[str, tuple[Tensor, int]] = {}

    def load(self, reference: Any) -> Any:
        """What stands for ('storage', type, key, device, elements)."""
        if not isinstance(reference, tuple) or not reference:
            raise DamagedPickleError("it refers to something outside of it that is no tensor")
        if reference[0] == "module" and len(reference) >= 2:
            # What old files have of a class: itself, its source file and its code.
            return reference[1]
        if reference[0] != "storage" or len(reference) < 5:
            raise DamagedPickleError("it refers to something outside of it that is no tensor")
        _, kind, key, _, elements = reference[:5]
        dtype = storage_type(kind)
        if type(elements) is not int or not 0 <= elements < _LARGEST or not isinstance(key, str | int):
            raise DamagedPickleError("it asks for a tensor of no size")
        numbers = self._numbers(str(key), dtype, elements)
        view = reference[5] if len(reference) > 5 else None
        if view is not None:
            _, start, length = view
            if not 0 <= start <= start + length <= elements:
                raise DamagedPickleError("it asks for more of a tensor than there is")
            numbers = numbers[start : start + length]
        return Storage(numbers)

    def _numbers(self, key: str, dtype: torch.dtype, elements: int) -> Tensor:
        size = elements * dtype.itemsize
        if key not in self._bytes:
            self._bytes[key] = (self._read(key, size), size)
        raw, known = self._bytes[key]
        if size > known:
            raise DamagedPickleError("it asks for more of a tensor than there is")
        return raw[:size].view(dtype) if size else torch.empty(0, dtype=dtype)


def storage_type(kind: Any) -> torch.dtype:
    """The numbers of a storage by its class, as in `torch.FloatStorage`.

    Raises:
        DamagedPickleError: it is none.
    """
    name = kind.name if isinstance(kind, Global) else ""
    dtype = _TYPES.get(name.rpartition(".")[2]) if name.startswith("torch.") else None
    if dtype is None:
        raise DamagedPickleError(
            f"it has a tensor of {name or 'something'!r:.80}, which is no type of numbers"
        )
    return dtype


def rebuilt(storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Any:
    """What `torch._utils._rebuild_tensor_v2` makes of the same arguments, without gradients."""
    if isinstance(storage, StandIn):
        return StandIn("torch._utils._rebuild_tensor_v2", (storage, offset, size, stride))
    return _view(storage, offset, size, stride, more[2] if len(more) > 2 else None)


def rebuilt_typed(storage: Any, offset: Any, size: Any, stride: Any, *more: Any) -> Any:
    """`torch._utils._rebuild_tensor_v3`: of a storage without a type, whose offset counts elements."""
    dtype = more[2]
    if not isinstance(storage, Storage) or not isinstance(dtype, torch.dtype):
        raise DamagedPickleError("it has a tensor of no type")
    raw = storage.numbers.view(torch.uint8)
    whole = raw[: len(raw) // dtype.itemsize * dtype.itemsize]
    numbers = whole.view(dtype) if len(whole) else torch.empty(0, dtype=dtype)
    return _view(Storage(numbers), offset, size, stride, more[3] if len(more) > 3 else None)


def _view(storage: Any, offset: Any, size: Any, stride: Any, metadata: Any) -> Tensor:
    if not isinstance(storage, Storage) or not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise DamagedPickleError("it has a tensor of nothing")
    numbers = (offset, *size, *stride)
    if any(type(n) is not int or not 0 <= n < _LARGEST for n in numbers):
        raise DamagedPickleError("it has a tensor of an impossible shape")
    if len(size) != len(stride) or len(size) > _MOST_DIMENSIONS:
        raise DamagedPickleError("it has a tensor of an impossible shape")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    count = len(storage.numbers)
    if 0 not in size and last >= count:
        raise DamagedPickleError("it has a tensor that is larger than what is stored of it")
    elements = 1
    for n in size:
        elements *= max(n, 1)
    if elements >= _LARGEST:
        raise DamagedPickleError("it has a tensor of an impossible shape")
    tensor = storage.numbers.as_strided(size, stride, offset if 0 not in size else 0)
    if isinstance(metadata, dict):
        # Views, since the numbers may not have been read yet.
        tensor = tensor.conj() if metadata.get("conj") else tensor
        tensor = negative_view(tensor) if metadata.get("neg") else tensor
    return tensor
