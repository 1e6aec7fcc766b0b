"""Reading flatbuffers: tables, vectors and scalars, with every offset checked."""

from __future__ import annotations

import mmap
import struct


class FlatTable:
    """Just enough of the flatbuffer encoding to read a table; positions are absolute.

    Fields have the numbers of their order in the schema; one that is absent is 0, empty or None.

    Raises (all methods):
        ValueError: an offset points outside the data.
    """

    def __init__(self, data: bytes | mmap.mmap, position: int) -> None:
        self.data = data
        self.position = position
        self.vtable = position - self._unpack("<i", position)
        self.fields = (self._unpack("<H", self.vtable) - 4) // 2

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A scalar; `kind` is struct's letter for it."""
        at = self._field(field)
        return self._unpack(kind, at) if at is not None else default

    def numbers(self, field: int, kind: str) -> list[int]:
        start, count = self._vector(field)
        size = struct.calcsize(kind)
        if count * size > len(self.data):
            raise ValueError("a list is longer than the file")
        return [self._unpack(kind, start + i * size) for i in range(count)]

    def text(self, field: int) -> str:
        start, count = self._vector(field)
        if start + count > len(self.data):
            raise ValueError("a name lies outside the file")
        return self.data[start : start + count].decode()

    def table(self, field: int) -> FlatTable | None:
        at = self._field(field)
        return FlatTable(self.data, at + self._unpack("<I", at)) if at is not None else None

    def tables(self, field: int) -> list[FlatTable]:
        start, count = self._vector(field)
        if count * 4 > len(self.data):
            raise ValueError("a list is longer than the file")
        places = [start + 4 * i for i in range(count)]
        return [FlatTable(self.data, at + self._unpack("<I", at)) for at in places]

    def _field(self, field: int) -> int | None:
        if field >= self.fields:
            return None
        relative = self._unpack("<H", self.vtable + 4 + 2 * field)
        return self.position + relative if relative else None

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._field(field)
        if at is None:
            return 0, 0
        start = at + self._unpack("<I", at)
        return start + 4, self._unpack("<I", start)

    def _unpack(self, kind: str, at: int) -> int:
        if at < 0 or at + struct.calcsize(kind) > len(self.data):
            raise ValueError("an offset points outside the file")
        return struct.unpack_from(kind, self.data, at)[0]
