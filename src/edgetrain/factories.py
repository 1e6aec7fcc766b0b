"""The user's own code: `package.module:factory`, importable from the current folder or the environment."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError
from .vision import make_torchvision_importable

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_factory(name: str) -> bool:
    """Whether a name is written as `package.module:factory`."""
    return _NAME.fullmatch(name) is not None


def meant_file(name: str) -> str | None:
    """What to write for a file of Python in the current folder; None of a name that isn't one's.

    `net.py`, `./net.py:Net` and `net` become `net:Net`, or `net:FACTORY` where no factory was named.
    """
    place, _, factory = name.partition(":")
    file = Path(place) if place.endswith(".py") else Path(f"{place}.py")
    if not file.is_file() or (is_factory(name) and not place.endswith(".py")):
        return None
    module = ".".join(file.with_suffix("").parts)
    written = f"{module}:{factory or 'FACTORY'}"
    if not is_factory(written):
        if not file.stem.isidentifier():
            return (
                f"{file} can't be imported by that name; call it {re.sub('[^0-9A-Za-z_]', '_', file.stem)}.py"
            )
        written = f"{file.stem}:{factory or 'FACTORY'}"
        return f"{file} can't be imported from here; go to its folder and write {written}"
    of = "" if factory else f", with the function or class of {file} that makes it"
    return f"write {written}{of}"


@dataclass(frozen=True)
class Trusted:
    """Code that the user vouches for, by having named it: a file alone may not choose what runs.

    Attributes:
        model, loss: `package.module:factory`, or None.
    """

    model: str | None = None
    loss: str | None = None


NOTHING = Trusted()


def check_factory(name: str, what: str) -> None:
    """Finds out without importing anything whether there is a module to take the factory `name` from.

    Args:
        what: as in `import_factory`.
    Raises:
        UsageError: there is none.
    """
    meant = meant_file(name)
    if meant is not None:
        raise UsageError(f"'{name}' is no {what}; {meant}")
    if not is_factory(name):
        raise UsageError(f"'{name}' is no {what}; write package.module:factory")
    module = name.partition(":")[0]
    package = module.partition(".")[0]
    with current_folder_importable():
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            raise UsageError(
                f"can't import '{module}' for the {what} {name} (ModuleNotFoundError: No module named "
                f"'{package}')"
            )


def import_factory(name: str, what: str) -> Callable[..., Any]:
    """Imports the factory `name`.

    Args:
        what: what it makes, for messages, as in "model".
    Raises:
        UsageError: it can't be imported.
    """
    check_factory(name, what)
    module_name, _, factory_name = name.partition(":")
    make_torchvision_importable()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UsageError(
            f"can't import '{module_name}' for the {what} {name} ({type(error).__name__}: {reason})"
        ) from error
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise UsageError(f"the module '{module_name}' has no function or class '{factory_name}'")
    return factory


@contextmanager
def current_folder_importable() -> Iterator[None]:
    """Lets modules in the current folder be imported, as `python -m` does."""
    folder = os.getcwd()  # noqa: PTH109 - sys.path holds strings
    if folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, folder)
    try:
        importlib.invalidate_caches()
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
