"""Which layers can be trained in part, and how much of them."""

from __future__ import annotations

from torch import nn

from ...errors import UsageError
from ...models.transforms import SPLITTABLE, channel_unit
from ...models.transforms.zeros import is_sparse


def share_of_channels(model: nn.Module, layer: str, share: float, origin: str) -> int:
    """How many output channels of a layer are trained; whole groups of it.

    Args:
        share: of all, between 0 and 1.
        origin: who wants it, for messages.
    Returns:
        at least one group, and not all.
    Raises:
        UsageError: the layer can't be split, or so that nothing is left on one side.
    """
    module = _changeable(model, layer, SPLITTABLE, f"{origin}: {share:g} of the output channels")
    assert isinstance(module, SPLITTABLE)
    unit = channel_unit(module)
    count = len(module.weight) // unit
    trained = round(share * count)
    what = "output channels" if unit == 1 else f"groups of {unit} output channels"
    if trained == 0:
        raise UsageError(
            f"{origin}: {share:g} of the {count} {what} of {layer} are none; take at least {1 / count:.3g}"
        )
    if trained == count:
        raise UsageError(f"{origin}: {share:g} of the {count} {what} of {layer} are all; say all")
    return trained * unit


def check_adaptable(model: nn.Module, layer: str, origin: str) -> None:
    """Checks that a layer can have an adapter.

    Raises:
        UsageError: it can't; says why.
    """
    if is_sparse(model.get_submodule(layer)):
        raise UsageError(
            f"{origin}: a LoRA adapter of {layer} would fill the zeros that pruning left in its weight, once "
            "it is added to it; give the layer a rule of its own before this one, with none, bias, a share "
            "or all"
        )
    _changeable(model, layer, (nn.Linear,), f"{origin}: a LoRA adapter")


def _changeable(model: nn.Module, layer: str, kinds: tuple[type[nn.Module], ...], wanted: str) -> nn.Module:
    """A layer that something of another kind can take the place of.

    Args:
        kinds: that it may be, maybe keeping its zeros, but no other subclass, which may compute something
            else.
    """
    module = model.get_submodule(layer)
    if not layer:
        raise UsageError(
            f"{wanted} of a model that is a single layer can't be trained; say none, bias or all"
        )
    way_out = "give it a rule of its own before this one, with none, bias or all"
    if type(module) not in kinds and not is_sparse(module):
        known = ", ".join(kind.__name__ for kind in kinds)
        raise UsageError(
            f"{wanted} of {layer} can't be trained: that is possible for {known}, and it is "
            f"{type(module).__name__}; {way_out}"
        )
    own = [id(parameter) for parameter in module.parameters()]
    names = [n for n, p in model.named_parameters(remove_duplicate=False) if id(p) in own]
    if len(names) > len(own):
        raise UsageError(
            f"{wanted} of {layer} can't be trained, since it shares some ({', '.join(names)}); {way_out}"
        )
    return module
