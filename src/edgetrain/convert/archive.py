"""What a zip file says about its records, checked before any of them is unpacked."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

# PyTorch stores tensors as they are and deflates text at most; bombs unpack to a thousand times their size.
_MOST_INFLATION = 20
_SMALL = 16 * 2**20
_MOST_RECORDS = 200_000


@dataclass(frozen=True)
class Archive:
    """A zip file whose directory makes sense.

    Attributes:
        records: by their path without the top folder that PyTorch puts all of them into.
    """

    path: Path
    records: dict[str, zipfile.ZipInfo]

    def __contains__(self, name: str) -> bool:
        return name in self.records

    def below(self, folder: str) -> list[str]:
        """Names of the records in a folder, as in `code/`."""
        return [name for name in self.records if name.startswith(folder)]

    def read(self, name: str) -> bytes:
        """The content of a record.

        Raises:
            InputError: it is damaged.
        """
        try:
            with zipfile.ZipFile(self.path) as file:
                return file.read(self.records[name])
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise InputError(f"{self.path} is damaged: its record {name} can't be read ({error})") from error


def open_archive(path: Path) -> Archive:
    """Reads the directory of a zip file.

    Raises:
        InputError: it is cut short or damaged, or would unpack to far more than its size.
    """
    try:
        with zipfile.ZipFile(path) as file:
            infos = [info for info in file.infolist() if not info.is_dir()]
        # Half a file may end with a whole zip file that was stored in it.
        if min((info.header_offset for info in infos), default=1):
            raise zipfile.BadZipFile("it doesn't begin with its first record")
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
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
    if len(records) != len(infos):
        raise InputError(f"{path} has two records of one name; it is refused")
    return Archive(path, records)
