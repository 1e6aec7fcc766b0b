"""Files that belong together, replaced together: after a crash, all of them are the old ones or the new ones.

The new files lie complete in a hidden folder beside the old ones. Then a journal is written that names them
(`.STEM.edgetrain-commit`): this is the moment that decides. What it names is moved into place, and it is
deleted. Whoever finds a journal, reading or writing, does the rest of its work first; so does `native/core`
(commit.cpp). It is SQLite's way of replacing several pages of a file at once (https://sqlite.org/atomiccommit.html).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import EdgetrainError, InputError
from .atomic import as_write_error, atomic_writer, check_room, sync_folder
from .temporary import SUFFIX, remove_abandoned_beside, temporary_folder

KIND = "edgetrain.commit"
_TEMPORARY = re.compile(rf"\.[^/]+{re.escape(SUFFIX)}(/[^/]+){{0,2}}")


@contextlib.contextmanager
def written_together(stem: Path) -> Iterator[Path]:
    """A folder; the files in it take their places beside `stem` when the block ends without error.

    Args:
        stem: DIR/NAME. All files are called NAME.SOMETHING.
    Raises:
        EdgetrainError: they can't be written. The old ones are untouched then.
    """
    with contextlib.ExitStack() as stack:
        try:
            stem.parent.mkdir(parents=True, exist_ok=True)
            recover(stem)
            remove_abandoned_beside(stem)
            folder = stack.enter_context(temporary_folder(stem))
        except OSError as error:
            raise as_write_error(stem, error) from error
        yield folder
        try:
            names = sorted(path.name for path in folder.iterdir())
            for name in names:
                _sync(folder / name)
            sync_folder(folder)
            place = folder.relative_to(stem.parent)
            _commit(stem, {name: f"{place}/{name}" for name in names})
        except OSError as error:
            raise as_write_error(stem, error) from error


def recover(path: Path) -> None:
    """Ends the replacement of `path`, and of what belongs to it, that a dead process has begun.

    Args:
        path: one of the files, or their stem.
    Raises:
        InputError: there is such a replacement, and it can't be ended here.
    """
    name = path.name
    while name:
        stem = path.with_name(name)
        if _journal(stem).is_file():
            try:
                with _alone(stem.parent):
                    _move(stem)
            except OSError as error:
                raise InputError(
                    f"{path} was being replaced when the process that did it was stopped, and that can't be "
                    f"ended here ({error.strerror or error}); make {stem.parent} writable"
                ) from error
        name = name.rpartition(".")[0]


def _commit(stem: Path, files: Mapping[str, str]) -> None:
    with _alone(stem.parent):
        _move(stem)  # what another process has begun comes first
        remove_abandoned_beside(_journal(stem))
        with atomic_writer(_journal(stem), told_as=stem) as file:
            file.write(json.dumps({"kind": KIND, "files": dict(files)}).encode() + b"\n")
        _move(stem)


def _move(stem: Path) -> None:
    """Does what the journal says, where there is one; a second time, too."""
    journal, folder = _journal(stem), stem.parent
    try:
        files = _read(journal, stem.name)
    except FileNotFoundError:
        return
    for target, source in files.items():
        with contextlib.suppress(FileNotFoundError):  # it has been moved already
            (folder / source).replace(folder / target)
    sync_folder(folder)
    journal.unlink(missing_ok=True)
    for source in files.values():
        for left in list((folder / source).relative_to(folder).parents)[:-1]:
            with contextlib.suppress(OSError):
                (folder / left).rmdir()


def _read(journal: Path, stem: str) -> dict[str, str]:
    """Targets and sources; anything but temporary files for files of this stem is refused.

    Raises:
        FileNotFoundError: there is no journal.
        OSError: it can't be read.
        InputError: it is none.
    """
    text = journal.read_text()
    try:
        found = json.loads(text)
        files: dict[str, str] = found["files"]
        good = found["kind"] == KIND and all(
            target.startswith(f"{stem}.")
            and "/" not in target
            and _TEMPORARY.fullmatch(source)
            and ".." not in source.split("/")
            for target, source in files.items()
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise InputError(f"{journal} is no record of files to be replaced; delete it")
    return files


def _journal(stem: Path) -> Path:
    return stem.with_name(f".{stem.name}.edgetrain-commit")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else replaces files of this folder meanwhile. The lock is on the folder and leaves no file."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # unknown to some file systems
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def check_writable(path: Path) -> None:
    """Finds out before hours of work that `path` can't be written in the end. What dead processes left of it
    is completed, or removed.

    Raises:
        EdgetrainError: as `atomic_writer` would.
    """
    try:
        recover(path)
    except InputError as error:
        raise EdgetrainError(str(error)) from error
    remove_abandoned_beside(path)
    check_room(path)
