"""Temporary files and folders that a process which was killed leaves behind, and the next one removes.

Each is locked (flock) as long as its process lives; the system lets go of the lock whatever that process
dies of. So what bears such a name and is not locked was abandoned, and nothing else is deleted. `native/core`
names and locks its own in the same way.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

SUFFIX = ".edgetrain-tmp"
_LETTERS = r"[A-Za-z0-9_]{6,8}"
_SCRATCH = "edgetrain-"
_FILES = "files"
_TRIES = 100


def open_temporary(target: Path) -> tuple[int, Path]:
    """Makes and locks a hidden file beside `target`, for its next version.

    Returns:
        the open file, whose lock ends with it, and its path.
    Raises:
        OSError: the folder can't be written.
    """

    def make() -> tuple[int, Path]:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=SUFFIX, dir=target.parent)
        return handle, Path(name)

    return _locked(make)


@contextlib.contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target`, which is deleted in the end.

    Raises:
        OSError: the folder can't be written.
    """
    with _folder(f".{target.name}.", target.parent) as folder:
        yield folder


def final_place(path: Path) -> Path:
    """Where a file goes that lies in a temporary folder beside its target; of any other, the path itself."""
    folder = path.parent.parent
    is_inside = path.parent.name == _FILES and re.fullmatch(
        rf"\..+\.{_LETTERS}{re.escape(SUFFIX)}", folder.name
    )
    return folder.parent / path.name if is_inside else path


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder where the system keeps temporary files, which is deleted in the end."""
    place = Path(tempfile.gettempdir())
    _remove_abandoned(place, re.escape(_SCRATCH))
    with _folder(_SCRATCH, place) as folder:
        yield folder


def remove_abandoned_beside(target: Path) -> None:
    """Deletes the temporary files and folders for `target` whose processes are dead."""
    _remove_abandoned(target.parent, re.escape(f".{target.name}."))


def _remove_abandoned(folder: Path, prefix: str) -> None:
    """Deletes what begins like this, is called like a temporary file, and belongs to nobody who lives.

    Args:
        prefix: a regular expression.
    """
    pattern = re.compile(prefix + _LETTERS + re.escape(SUFFIX))
    try:
        found = [Path(entry) for entry in os.scandir(folder) if pattern.fullmatch(entry.name)]
    except OSError:
        return
    for path in found:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(handle)


@contextlib.contextmanager
def _folder(prefix: str, place: Path) -> Iterator[Path]:
    """A folder in one that is locked: who replaces files together locks their folder (`artifacts.commit`), as
    a child does that this process waits for."""

    def make() -> tuple[int, Path]:
        path = Path(tempfile.mkdtemp(prefix=prefix, suffix=SUFFIX, dir=place))
        return os.open(path, os.O_RDONLY), path

    handle, path = _locked(make)
    try:
        files = path / _FILES
        files.mkdir()
        yield files
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(handle)


def _locked(make: Callable[[], tuple[int, Path]]) -> tuple[int, Path]:
    """What `make` made, locked. Between the two another process may take it for abandoned; then once more."""
    refused = OSError(errno.EAGAIN, "others keep deleting temporary files")
    for _ in range(_TRIES):
        try:
            handle, path = make()
        except FileNotFoundError as error:  # taken away before it was open, or nothing can be made here
            refused = error
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN):
                os.close(handle)
                continue
            # Where locks are unknown, nothing is ever taken for abandoned.
        with contextlib.suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(handle)):
                return handle, path
        os.close(handle)
    raise refused
