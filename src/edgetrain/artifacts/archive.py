"""What a zip file says about its records, checked before any of them is unpacked."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ..errors import InputError

# PyTorch stores tensors as they are and deflates text at most; bombs unpack to a thousand times their size.
_MOST_INFLATION = 20
_SMALL = 16 * 2**20
_MOST_RECORDS = 200_000
_DAMAGE = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, zlib.error)


@dataclass(frozen=True)
class Archive:
    """A zip file whose directory makes sense.

    Attributes:
        records: by their path without the top folder that PyTorch puts all of them into.
    """

    path: Path
    records: dict[str, zipfile.ZipInfo]
    _open: list[zipfile.ZipFile] = field(default_factory=list, repr=False, compare=False)

    def __contains__(self, name: str) -> bool:
        return name in self.records

    def below(self, folder: str) -> list[str]:
        """Names of the records in a folder, as in `code/`."""
        return [name for name in self.records if name.startswith(folder)]

    def size(self, name: str) -> int:
        """Bytes of a record."""
        return self.records[name].file_size

    def read(self, name: str) -> bytes:
        """The content of a record.

        Raises:
            InputError: it is damaged.
        """
        with self.open(name) as record:
            return record.read()

    @contextmanager
    def kept_open(self) -> Iterator[None]:
        """While many records are read: each time the file is opened, its whole directory is read.

        Raises:
            InputError: it can't be opened.
        """
        if self._open:
            yield
            return
        try:
            file = zipfile.ZipFile(self.path)
        except _DAMAGE as error:
            raise InputError(f"can't read {self.path}: {error}") from error
        with file:
            self._open.append(file)
            try:
                yield
            finally:
                self._open.clear()

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A record to read from; the end of it compares its checksum.

        Raises:
            InputError: it is damaged, here or while it is read.
        """
        try:
            with self.kept_open(), self._open[0].open(self.records[name]) as record:
                yield record
        except InputError:
            raise
        except _DAMAGE as error:
            raise InputError(f"{self.path} is damaged: its record {name} can't be read ({error})") from error


def open_archive(path: Path) -> Archive:
    """Reads the directory of a zip file.

    Raises:
        InputError: it is cut short or damaged, would unpack to far more than its size, or has records that
            some readers would take for each other.
    """
    try:
        with zipfile.ZipFile(path) as file:
            infos = [info for info in file.infolist() if not info.is_dir()]
        # Half a file may end with a whole zip file that was stored in it.
        if min((info.header_offset for info in infos), default=1):
            raise zipfile.BadZipFile("it doesn't begin with its first record")
    except _DAMAGE as error:
        raise InputError(f"{path} is cut short or damaged; copy or download it again") from error
    size = path.stat().st_size
    unpacked = sum(info.file_size for info in infos)
    if len(infos) > _MOST_RECORDS:
        raise InputError(f"{path} has {len(infos)} records, more than any model; it is refused")
    if unpacked > _MOST_INFLATION * size + _SMALL or sum(info.compress_size for info in infos) > size:
        raise InputError(f"{path} of {size} bytes would unpack to {unpacked}; it is refused")
    if any(info.flag_bits & 0x1 for info in infos):
        raise InputError(f"{path} is encrypted; decrypt it first")
    records = {info.filename.partition("/")[2] or info.filename: info for info in infos}
    # PyTorch finds records without regard to case.
    if len({name.casefold() for name in records}) != len(infos):
        raise InputError(f"{path} has two records of one name; it is refused")
    return Archive(path, records)


def write_archive(file: IO[bytes], records: dict[str, bytes], copied: tuple[Archive, list[str]]) -> None:
    """Writes a zip file as PyTorch reads it, all records stored.

    Args:
        records: what is written for it.
        copied: an archive, and which of its records are taken over as they are.
    Raises:
        InputError: one of those is damaged.
    """
    source, names = copied
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as target, source.kept_open():
        for name, content in records.items():
            target.writestr(f"archive/{name}", content)
        for name in names:
            with source.open(name) as record, target.open(f"archive/{name}", "w", force_zip64=True) as copy:
                while part := record.read(io.DEFAULT_BUFFER_SIZE * 128):
                    copy.write(part)
    file.seek(0)
