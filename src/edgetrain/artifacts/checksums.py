"""The checksums inside a file of torch.save."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from ..errors import InputError
from .archive import Archive, open_archive


def check_sums(path: Path) -> Archive:
    """Compares every record with its CRC-32, which torch.save stores and torch.load ignores.

    Returns:
        its records.
    Raises:
        InputError: the file is no zip file, damaged, or would unpack to far more than its size.
    """
    try:
        with zipfile.ZipFile(path) as file:
            archive = open_archive(path)
            damaged = file.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, zlib.error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is damaged or no PyTorch checkpoint ({reason})") from error
    if damaged is not None:
        raise InputError(f"{path} is damaged ({damaged} does not match its checksum); copy it again")
    return archive
