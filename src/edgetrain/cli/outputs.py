"""Where results may be written.

What `-o` names is replaced, as a compiler does; a default output that exists already, and any file that holds
something else than the output would, is kept unless `--force` is given; an output that is also an input is
refused whatever is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import UsageError
from .text import with_article

if TYPE_CHECKING:
    from ..artifacts.kinds import Written


def default_output(source: Path, suffix: str = "") -> Path:
    """The path beside an input with another suffix: `net/model.pth` → `net/model` + suffix."""
    return source.with_name(source.stem + suffix)


def given(path: Path | None, kind: Written) -> list[tuple[Path, Written]]:
    """An output that isn't always there, for `claim_outputs`."""
    return [] if path is None else [(path, kind)]


def ends_in(*suffixes: str) -> Callable[[Path | None], Path | None]:
    """Callback of an option that names a file to write: refuses folders and names with another suffix than
    one of these (none: any), under which the file could replace one of another kind."""

    def check(path: Path | None) -> Path | None:
        if path is not None and path.is_dir():
            raise typer.BadParameter(f"{path} is a folder; name a file in it")
        if path is not None and suffixes and path.suffix not in suffixes:
            endings = " or ".join(suffixes)
            raise typer.BadParameter(
                f"{path} does not end in {endings}; name it {path.with_suffix(suffixes[0])}"
            )
        return path

    return check


def keep_interrupted(output: Path, steps: tuple[int, int] | None) -> None:
    """A run that can be gone on with is not replaced by one that forgot `--resume`.

    Args:
        steps: those done and planned of a run that was interrupted; None: there is none.
    Raises:
        UsageError: there is one.
    """
    if steps is not None:
        raise UsageError(
            f"{output} is of a run that was interrupted after {steps[0]:,} of {steps[1]:,} steps; go on with "
            "--resume, or replace it with --force"
        )


def claim_outputs(
    outputs: Sequence[tuple[Path, Written]],
    *,
    named: Sequence[tuple[Path, Written]] = (),
    inputs: Iterable[Path | None] = (),
    explicit: bool,
    resume: bool = False,
    force: bool = False,
) -> None:
    """Finds out before any work whether a command may and can write its files.

    Args:
        outputs: all files that `-o`, or in its place a default, makes the command write, and what each will
            hold; what is there already has to be of the same kind.
        named: further ones that have an option of their own, so that they are replaced.
        inputs: all files it reads; None for those not given.
        explicit: `-o` was given, so that existing files are replaced.
        resume: existing default outputs are of the run that is gone on with, and are replaced as well.
        force: existing default outputs are replaced as well, and files of another kind.
    Raises:
        UsageError: an output is an input, is there already, holds something else, is named twice, or is no
            regular file.
        EdgetrainError: an output can't be written.
    """
    from ..artifacts.commit import check_writable

    claimed = [*outputs, *named]
    every = [path for path, _ in claimed]
    _refuse_twice(every)
    sources = [path for path in inputs if path is not None]
    for path in every:
        _refuse_input(path, sources)
        _refuse_special(path)
    if not explicit and not resume and not force:
        for path, _ in outputs:
            _refuse_existing(path)
    if not force:
        for path, kind in claimed:
            _refuse_another_kind(path, kind)
    for path in every:
        check_writable(path)


def same_file(a: Path, b: Path) -> bool:
    """Whether two paths mean one file, through symbolic and hard links; neither needs to exist."""
    try:
        if a.samefile(b):
            return True
    except OSError:
        pass
    return os.path.realpath(a) == os.path.realpath(b)


def _refuse_twice(outputs: Sequence[Path]) -> None:
    for index, path in enumerate(outputs):
        for other in outputs[:index]:
            if same_file(path, other):
                raise UsageError(f"{path} would be written twice; give each output a name of its own")


def _refuse_input(path: Path, inputs: Iterable[Path]) -> None:
    for source in inputs:
        if same_file(path, source):
            known_as = "" if path == source else f" (as {source})"
            raise UsageError(f"{path} is also read{known_as}; name another output with -o")


def _refuse_special(path: Path) -> None:
    # Replacing /dev/null by a regular file would harm the whole machine.
    if path.is_dir():
        raise UsageError(f"{path} is a folder; name another output with -o")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no regular file; name another output with -o")


def _refuse_another_kind(path: Path, kind: Written) -> None:
    from ..artifacts.foreign import Format
    from ..artifacts.kinds import kind_to_replace

    found = kind_to_replace(path) if path.is_file() else None
    if found not in (None, kind):
        what = found.what if isinstance(found, Format) else with_article(str(found))
        raise UsageError(
            f"{path} is {what}, which {with_article(kind)} would replace; name another output, or use --force"
        )


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise UsageError(f"{path} exists already; replace it with --force or name another output with -o")
