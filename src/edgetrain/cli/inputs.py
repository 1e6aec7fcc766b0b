"""What the files named on a command line must be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..artifacts.kinds import Kind

_MADE_BY: dict[Kind, str] = {
    "checkpoint": "(.pth) from 'edgetrain train'",
    "program": "(.pte) from 'edgetrain export'",
    "file of weights": "(.ptd) from 'edgetrain export' or 'edgetrain finetune'",
    "history": "(.history.json) from 'edgetrain train' or 'edgetrain finetune'",
}


def check_input(command: str, path: Path | None, wanted: Kind) -> None:
    """Finds out before any work that a file is missing or of another kind. None was not given.

    Raises:
        InputError: says what the file is and what the command takes.
    """
    if path is None:
        return
    needed = f"{command} takes a {wanted} {_MADE_BY[wanted]}"
    if not path.exists():
        raise InputError(f"{path} does not exist; {needed}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; {needed}")
    from ..artifacts.kinds import kind_of

    found = kind_of(path)
    if found is None:
        from ..artifacts.foreign import describe_foreign

        known = describe_foreign(path, needed=needed)
        if known is not None:
            raise InputError(f"{path} {known}")
        raise InputError(f"{path} is no {wanted}, or a damaged one; {needed}")
    if found != wanted:
        raise InputError(f"{path} is a {found}; {needed}")
