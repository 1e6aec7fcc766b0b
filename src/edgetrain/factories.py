"""The user's own code: `package.module:factory`, importable from the current folder or the environment."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .errors import UsageError
from .vision import make_torchvision_importable

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_factory(name: str) -> bool:
    """Whether a name is written as `package.module:factory`."""
    return _NAME.fullmatch(name) is not None


@dataclass(frozen=True)
class Trusted:
    """Code that the user vouches for, by having named it: a file alone may not choose what runs.

    Attributes:
        model, loss: `package.module:factory`, or None.
    """

    model: str | None = None
    loss: str | None = None


NOTHING = Trusted()


def import_factory(name: str, what: str) -> Callable[..., Any]:
    """Imports the factory `name`.

    Args:
        what: what it makes, for messages, as in "model".
    Raises:
        UsageError: it can't be imported.
    """
    if not is_factory(name):
        raise UsageError(f"'{name}' is no {what}; write package.module:factory")
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
