"""The user's own models: `package.module:factory`, importable from the current folder or the environment."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..errors import UsageError
from .arguments import check_names, first_line, parameter_defaults

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def custom_parameters(name: str) -> list[str]:
    """The named parameters of the factory `name`. Imports it.

    Raises:
        UsageError: it can't be imported.
    """
    with _current_folder_importable():
        return list(parameter_defaults(_import(name)))


def build_custom(name: str, args: Mapping[str, Any]) -> nn.Module:
    """Imports and calls the factory `name`.

    Raises:
        UsageError: it can't be imported, does not take the arguments, fails, or returns no module.
    """
    with _current_folder_importable():
        factory = _import(name)
        check_names(name, args, factory)
        try:
            model = factory(**args)
        except Exception as error:
            raise UsageError(f"{name} failed with {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"{name} must return a torch.nn.Module, but returned {type(model).__name__}")
    return model


def _import(name: str) -> Callable[..., Any]:
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is no model; write package.module:factory")
    module_name, _, factory_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise UsageError(
            f"can't import '{module_name}' for the model {name} ({type(error).__name__}: {first_line(error)})"
        ) from error
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise UsageError(f"the module '{module_name}' has no function or class '{factory_name}'")
    return factory


@contextmanager
def _current_folder_importable() -> Iterator[None]:
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
