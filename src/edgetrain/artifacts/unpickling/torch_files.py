"""What torch.save wrote: a zip file with a pickle and the bytes of each tensor, or, before PyTorch 1.6, one
pickle after the other and the bytes behind them. And what `pickle.dump` wrote, as data without tensors or
with those that lie in it as such files."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ...errors import InputError
from ..archive import Archive, open_archive
from ..foreign import OLD_MAGIC
from .constructors import Constructors
from .machine import DamagedPickleError, unpickled
from .tensors import DTYPES, Storages

# What the old format begins with, each a pickle of its own.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_MOST_STORAGES = 1_000_000


def read_torch_file(path: Path) -> Any:
    """Reads a file of torch.save, or of `pickle.dump`. Nothing that it names is imported or called.

    Returns:
        plain values and tensors on the CPU, without gradients; a `StandIn` for each object of a class, a
        `Global` for each class or function.
    Raises:
        InputError: it is no such file, damaged, or would take far more memory than its size.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) == b"PK\x03\x04":
                return _read_archive(open_archive(path))
            file.seek(0)
            begins = file.read(len(OLD_MAGIC))
            file.seek(0)
            size = os.fstat(file.fileno()).st_size
            return _read_old(file, size) if begins == OLD_MAGIC else _read_plain(file, size)
    except DamagedPickleError as error:
        raise InputError(f"{path} is damaged or refused: {error}") from error
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error


def read_archived_pickle(archive: Archive, name: str, folder: str, make: Any) -> Any:
    """Reads one pickle of an archive, whose tensors lie in a folder of it.

    Args:
        make: as of `machine.unpickled`.
    Raises:
        DamagedPickleError: it is damaged, or a bomb.
        InputError: a record is damaged.
    """

    def read(key: str, size: int) -> Tensor:
        record = f"{folder}/{key}"
        if record not in archive or archive.size(record) < size:
            held = archive.size(record) if record in archive else 0
            raise DamagedPickleError(f"it asks for {size} bytes of a tensor, but has {held}")
        with archive.open(record) as stored:
            return _read_bytes(stored, archive.size(record))[:size]

    with archive.kept_open():
        return unpickled(io.BytesIO(archive.read(name)), make, Storages(read).load, DTYPES)


def _read_archive(archive: Archive) -> Any:
    if "data.pkl" not in archive:
        raise DamagedPickleError("torch.save would have put a data.pkl into it")
    if "byteorder" in archive and archive.read("byteorder") != sys.byteorder.encode():
        raise DamagedPickleError("it was written on a machine with another order of bytes")
    size = sum(info.file_size for info in archive.records.values())
    return read_archived_pickle(archive, "data.pkl", "data", Constructors(size).make)


def _read_plain(file: IO[bytes], size: int) -> Any:
    def storage(content: Any) -> Any:
        if not isinstance(content, bytes):
            raise DamagedPickleError("it has a tensor of nothing")
        return _read_old(io.BytesIO(content), len(content))

    stream: Any = _Bounded(file, size)
    return unpickled(stream, Constructors(size, storage).make, Storages(_nothing).load, DTYPES)


def _read_old(file: IO[bytes], size: int) -> Any:
    stream: Any = _Bounded(file, size)

    def plain() -> Any:
        return unpickled(stream, Constructors(0).make, Storages(_nothing).load, {})

    if plain() != _MAGIC or plain() != _PROTOCOL:
        raise DamagedPickleError("it wasn't written by torch.save")
    if plain() in ({}, None) or sys.byteorder != "little":
        raise DamagedPickleError("it wasn't written by torch.save")
    # The bytes of tensors come behind the pickle that refers to them, so that there have to be tensors first.
    room = size
    sizes: dict[str, int] = {}
    tensors: dict[str, Tensor] = {}

    def allocate(key: str, length: int) -> Tensor:
        nonlocal room
        room -= length
        if room < 0 or len(sizes) >= _MOST_STORAGES:
            raise DamagedPickleError(f"it asks for {length} bytes of a tensor, but has {size}")
        sizes[key], tensors[key] = length, torch.empty(length, dtype=torch.uint8)
        return tensors[key]

    value = unpickled(stream, Constructors(size).make, Storages(allocate).load, DTYPES)
    keys = plain()
    if not isinstance(keys, list) or len(keys) > _MOST_STORAGES:
        raise DamagedPickleError("its list of tensors is none")
    for key in keys:
        if key not in sizes:
            raise DamagedPickleError("it has a tensor that nothing refers to")
        elements = int.from_bytes(stream.read(8), "little")
        length = sizes.pop(key)
        if elements == 0 and length:
            raise DamagedPickleError("a tensor of it has no numbers")
        _read_into(stream, tensors[key])
    if sizes:
        raise DamagedPickleError("a tensor of it has no numbers")
    return value


def _nothing(key: str, size: int) -> Tensor:
    raise DamagedPickleError("it has tensors where none belong")


class _Bounded:
    """A file of which no more can be asked for than there is."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size

    def read(self, length: int) -> bytes:
        if length < 0 or length > self._size - self._file.tell():
            raise DamagedPickleError("it is cut short")
        return self._file.read(length)

    def readline(self) -> bytes:
        return self._file.readline()

    def readinto(self, view: memoryview) -> int:
        return self._file.readinto(view)  # type: ignore[attr-defined]

    def tell(self) -> int:
        return self._file.tell()


def _read_bytes(stream: IO[bytes], size: int) -> Tensor:
    """So many bytes as uint8 [size], and the end of them, which compares the checksum."""
    tensor = torch.empty(size, dtype=torch.uint8)
    _read_into(stream, tensor)
    if stream.read(1):
        raise DamagedPickleError("a tensor of it is longer than it says")
    return tensor


def _read_into(stream: Any, tensor: Tensor) -> None:
    view = memoryview(tensor.numpy())  # type: ignore[arg-type]
    done = 0
    while done < len(view):
        count = stream.readinto(view[done:])
        if not count:
            raise DamagedPickleError("it is cut short")
        done += count
