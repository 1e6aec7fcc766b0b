"""Writing files so that a crash, a full disk or kill -9 leaves the old file or the new one, whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import EdgetrainError


@contextlib.contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path`; it takes the name `path` only when the block ends without error.

    The data is on disk (fsync of file and folder) before the name changes hands.

    Raises:
        EdgetrainError: the folder can't be written or the disk is full. `path` is untouched then.
    """
    handle, name = _temporary_beside(path)
    temporary = Path(name)
    try:
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; a result is as readable as any other new file.
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            sync_folder(path.parent)
        except (OSError, RuntimeError) as error:
            # torch.save ends with a RuntimeError about a position after the OSError that says why.
            reason = error if isinstance(error, OSError) else error.__context__
            if not isinstance(reason, OSError):
                raise
            raise _write_error(path, reason) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces `path` by `data` atomically."""
    with atomic_writer(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Replaces `path` by `text` (UTF-8) atomically."""
    write_bytes(path, text.encode())


def sync_folder(folder: Path) -> None:
    """Makes renames in `folder` last through a power failure, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def check_writable(path: Path) -> None:
    """Finds out before hours of work that `path` can't be written in the end.

    Raises:
        EdgetrainError: as `atomic_writer` would.
    """
    handle, name = _temporary_beside(path)
    os.close(handle)
    Path(name).unlink()


def _temporary_beside(path: Path) -> tuple[int, str]:
    if path.is_dir():
        raise EdgetrainError(f"{path} is a folder; name a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> EdgetrainError:
    return EdgetrainError(f"can't write {path}: {error.strerror or error}; choose another place with -o")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
