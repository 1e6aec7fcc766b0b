"""The user's own models: `package.module:factory`, importable from the current folder or the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..errors import UsageError
from ..factories import current_folder_importable, import_factory
from .arguments import check_names, first_line, parameter_defaults


def custom_parameters(name: str) -> list[str]:
    """The named parameters of the factory `name`. Imports it.

    Raises:
        UsageError: it can't be imported.
    """
    with current_folder_importable():
        return list(parameter_defaults(import_factory(name, "model")))


def build_custom(name: str, args: Mapping[str, Any]) -> nn.Module:
    """Imports and calls the factory `name`.

    Raises:
        UsageError: it can't be imported, does not take the arguments, fails, or returns no module.
    """
    with current_folder_importable():
        factory = import_factory(name, "model")
        check_names(name, args, factory)
        try:
            model = factory(**args)
        except Exception as error:
            raise UsageError(f"{name} failed with {type(error).__name__}: {first_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise UsageError(f"{name} must return a torch.nn.Module, but returned {type(model).__name__}")
    return model
