"""What the files named on a command line must be."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, as_argument
from .text import with_article

if TYPE_CHECKING:
    from ..artifacts.kinds import Kind

_MADE_BY: dict[Kind, str] = {
    "checkpoint": "(.pth) from 'edgetrain train'",
    "program": "(.pte) from 'edgetrain export'",
    "file of weights": "(.ptd) from 'edgetrain export' or 'edgetrain finetune'",
    "history": "(.history.json) from 'edgetrain train' or 'edgetrain finetune'",
}
# How `convert` makes one of a model from elsewhere.
_FROM_ELSEWHERE: dict[Kind, str] = {"checkpoint": " --to pth", "program": " --to train"}


def refuse_pipes(argument: Any) -> None:
    """Files are read more than once, and written beside their places; a pipe would wait for ever.

    Raises:
        InputError: an argument, or one of several, is the path of a named pipe or a socket.
    """
    for path in argument if isinstance(argument, (list, tuple)) else [argument]:
        if isinstance(path, Path) and (path.is_fifo() or path.is_socket()):
            raise InputError(f"{path} is a pipe or a socket; name a file")


def check_data(data: Any) -> None:
    """Finds out before PyTorch is loaded that the place of a data set isn't there.

    Args:
        data: the section of the configuration.
    Raises:
        InputError: names what it should be.
    """
    from ..config.names import ROOTS

    if data.root is not None and data.name in ROOTS and not data.root.exists():
        raise InputError(f"{data.root} does not exist; --data-dir names {ROOTS[data.name]}")


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
        raise InputError(f"{path} is a folder; {needed}{_way_from_a_folder(path, wanted)}")
    from ..artifacts.kinds import kind_of

    found = kind_of(path)
    if found is None:
        from ..artifacts.foreign import describe_foreign

        known = describe_foreign(path, needed=needed, to=_FROM_ELSEWHERE.get(wanted, ""))
        if known is not None:
            raise InputError(f"{path} {known}")
        raise InputError(f"{path} is no {wanted}, or a damaged one; {needed}")
    if found == "checkpoint" and wanted == "program":
        from ..artifacts.inspect_folder import is_own_checkpoint

        if not is_own_checkpoint(path):
            raise InputError(
                f"{path} is a file of torch.save that edgetrain did not write; {needed}; bring it over "
                f"first: edgetrain convert {as_argument(path)}{_FROM_ELSEWHERE[wanted]}"
            )
        needed += f"; make one with 'edgetrain export {as_argument(path)}'"
    if found != wanted:
        raise InputError(f"{path} is {with_article(found)}; {needed}")


def _way_from_a_folder(path: Path, wanted: Kind) -> str:
    """How to bring over the model that lies in a folder, where one does."""
    from ..artifacts.sharded import weights_in

    if wanted not in _FROM_ELSEWHERE or weights_in(path) is None:
        return ""
    return (
        f"; bring the model in it over first: edgetrain convert {as_argument(path)}{_FROM_ELSEWHERE[wanted]}"
    )
