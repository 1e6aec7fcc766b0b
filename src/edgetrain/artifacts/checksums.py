"""The checksums inside a file of torch.save."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from ..errors import InputError


def check_sums(path: Path) -> None:
    """Compares every record with its CRC-32, which torch.save stores and torch.load ignores.

    Raises:
        InputError: the file is no zip file, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, zlib.error) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is damaged or no PyTorch checkpoint ({reason})") from error
    if damaged is not None:
        raise InputError(f"{path} is damaged ({damaged} does not match its checksum); copy it again")
