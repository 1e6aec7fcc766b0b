"""Writing files so that a crash, a full disk or kill -9 leaves the old file or the new one, whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import EdgetrainError
from .temporary import final_place, open_temporary


@contextlib.contextmanager
def atomic_writer(path: Path, told_as: Path | None = None) -> Iterator[BinaryIO]:
    """Opens a temporary file beside `path`; it takes the name `path` only when the block ends without error.

    The data is on disk (fsync of file and folder) before the name changes hands.

    Args:
        told_as: what errors name instead of `path`, where users don't know it.
    Raises:
        EdgetrainError: the folder can't be written or the disk is full. `path` is untouched then.
    """
    handle, temporary = _temporary_beside(path, told_as)
    try:
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                # Made private; a result is as readable as any other new file. Locked until it has its name.
                os.fchmod(file.fileno(), 0o666 & ~_umask())
                temporary.replace(path)
            sync_folder(path.parent)
        except (OSError, RuntimeError) as error:
            # torch.save ends with a RuntimeError about a position after the OSError that says why.
            reason = error if isinstance(error, OSError) else error.__context__
            if not isinstance(reason, OSError):
                raise
            raise as_write_error(told_as or path, reason) from error
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


def check_room(path: Path) -> None:
    """Makes the temporary file for a new `path`, and deletes it.

    Raises:
        EdgetrainError: as `atomic_writer` would.
    """
    handle, temporary = _temporary_beside(path)
    os.close(handle)
    temporary.unlink(missing_ok=True)


def _temporary_beside(path: Path, told_as: Path | None = None) -> tuple[int, Path]:
    if path.is_dir():
        raise EdgetrainError(f"{path} is a folder; name a file to write")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_temporary(path)
    except OSError as error:
        raise as_write_error(told_as or path, error) from error


def as_write_error(path: Path, error: OSError) -> EdgetrainError:
    """What a user is told of it: not where the file lies until it is whole."""
    place = final_place(path)
    return EdgetrainError(f"can't write {place}: {error.strerror or error}; choose another place with -o")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
