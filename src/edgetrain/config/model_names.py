"""What is wrong with a model's name, as far as it is known without PyTorch."""

from __future__ import annotations

from collections.abc import Collection

from ..errors import UsageError
from ..factories import check_factory, meant_file
from ..vision import model_names
from .names import MODELS, TORCHVISION, TRANSFORMERS
from .wording import did_you_mean


def known_models() -> tuple[str, ...]:
    """Names of all models that edgetrain and torchvision have."""
    return (*MODELS, *(f"{TORCHVISION}{name}" for name in model_names()))


def check_model_name(name: str) -> None:
    """Refuses a name that no model has, before PyTorch is loaded for it.

    Raises:
        UsageError: says which one may be meant.
    """
    if name in MODELS or name.startswith(TRANSFORMERS):
        return
    if name.startswith(TORCHVISION):
        known = model_names()
        if known and name.removeprefix(TORCHVISION) not in known:
            raise UsageError(unknown_in_torchvision(name.removeprefix(TORCHVISION), known))
    elif ":" in name:
        check_factory(name, "model")
    else:
        raise UsageError(unknown_model(name))


def unknown_model(name: str) -> str:
    """What to say of a name that is neither a model of edgetrain nor a factory."""
    hint = meant_file(name) or did_you_mean(name, MODELS)
    if not hint and name in model_names():
        hint = f"did you mean '{TORCHVISION}{name}'?"
    known = f"known are {', '.join(MODELS)}, {TORCHVISION}NAME and package.module:factory"
    return f"there is no model '{name}'; {hint or known}"


def unknown_in_torchvision(short: str, known: Collection[str]) -> str:
    """What to say of a name that torchvision has not."""
    hint = did_you_mean(short, known) or "see torchvision.models.list_models()"
    return f"torchvision has no classification or segmentation model '{short}'; {hint}"
