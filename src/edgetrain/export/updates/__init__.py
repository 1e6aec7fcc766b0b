"""Which parameters a program trains: `export.update` and `export.trainable`, put into effect."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ...artifacts.transforms import ProgramTransform
from ...config.stages import ExportConfig
from ...errors import UsageError
from ...models.names import matching
from ...models.transforms import apply_transforms
from ...reporting import Reporter
from .scheme import Scheme, read_scheme
from .selection import select

__all__ = ["allowed_parameters", "prepare_update"]


def prepare_update(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    settings: ExportConfig,
    reporter: Reporter,
    scheme: Scheme | None = None,
) -> list[ProgramTransform]:
    """Makes a model ready for the update that is asked for.

    Layers of which only a part is trained are changed, and `requires_grad` of every parameter is set.

    Args:
        model: changed in place.
        inputs: of an example batch, by name.
        scheme: in place of the one that the settings name.
    Returns:
        what was done to the model's layers, for whoever builds it again.
    Raises:
        UsageError: a pattern fits nothing, a layer can't do what a rule says, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    scheme = scheme or read_scheme(settings.update)
    selection = select(model, inputs, scheme, allowed_parameters(model, settings))
    if not selection.trained:
        restricted = "" if settings.trainable == ["*"] else " of what --trainable names"
        raise UsageError(f"--update {settings.update} trains nothing{restricted}; choose more")
    apply_transforms(model, selection.transforms, settings.seed)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in selection.trained)
    layers = sum(parameter.requires_grad for parameter in model.parameters())
    reporter.detail(f"--update {settings.update} trains {layers} of {len(names)} parameter tensors")
    return selection.transforms


def allowed_parameters(model: nn.Module, settings: ExportConfig) -> set[str]:
    """Names of the parameters that `export.trainable` lets any update train. As it is by default, those that
    the model's own code has frozen stay so; a pattern that names them trains them.

    Raises:
        UsageError: a pattern fits nothing.
    """
    names = [name for name, _ in model.named_parameters()]
    own = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    if settings.trainable == ["*"] and own:
        return own
    return {
        name
        for pattern in settings.trainable
        for name in matching(pattern, names, of_layers=False, origin="--trainable")
    }
