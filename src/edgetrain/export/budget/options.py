"""What could be trained of each layer of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ...config.update_rules import Trained, UpdateRule
from ...errors import UsageError
from ...models.names import layer_of
from ..updates.order import layers_in_order
from ..updates.scheme import Scheme
from ..updates.selection import select

# Of a layer's output channels, from little to much.
_SHARES = (0.125, 0.25, 0.5)


@dataclass(frozen=True)
class Piece:
    """What is trained of a parameter: its first rows, or all of it.

    Attributes:
        parameter: its name in the model as it was built.
    """

    parameter: str
    rows: int
    of: int

    @property
    def share(self) -> float:
        """Of the parameter."""
        return self.rows / self.of if self.of else 1.0


@dataclass(frozen=True)
class Option:
    """One way to train a layer.

    Attributes:
        rules: that say so; none where it is frozen.
        pieces: what they train.
        splits: the layer is made two for it.
    """

    rules: tuple[UpdateRule, ...] = ()
    pieces: tuple[Piece, ...] = ()
    splits: bool = False


FROZEN = Option()


@dataclass(frozen=True)
class Layer:
    """A layer that owns parameters.

    Attributes:
        options: from nothing to all that may be trained of it.
    """

    name: str
    options: tuple[Option, ...]


def layers_with_options(model: nn.Module, inputs: Mapping[str, Tensor], allowed: set[str]) -> list[Layer]:
    """The layers of a model in the order they are used, with what can be trained of each.

    Args:
        inputs: of an example batch, by name.
        allowed: names of the parameters that may be trained at all.
    """
    parameters = dict(model.named_parameters())
    layers = []
    for name in layers_in_order(model, inputs):
        options = [FROZEN]
        for train in ("bias", *_SHARES, "all"):
            option = _option(model, inputs, parameters, name, train, allowed)
            if option is not None and all(option.pieces != known.pieces for known in options):
                options.append(option)
        layers.append(Layer(name, tuple(options)))
    return layers


def rules_of(options: Sequence[Option]) -> list[UpdateRule]:
    """The rules that train what some options of different layers do."""
    return [rule for option in options for rule in option.rules]


def _option(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    parameters: Mapping[str, Tensor],
    layer: str,
    train: Trained,
    allowed: set[str],
) -> Option | None:
    """None where that isn't possible for the layer."""
    # The model itself has no name that a pattern could fit.
    patterns = [layer] if layer else [name for name in parameters if layer_of(name) == ""]
    rules = tuple(UpdateRule(pattern=pattern, train=train) for pattern in patterns)
    try:
        selection = select(model, inputs, Scheme("--update budget", list(rules)), allowed)
    except UsageError:
        return None
    rows = {
        transform.module: transform.channels
        for transform in selection.transforms
        if transform.kind == "split_outputs"
    }
    pieces = []
    for name in sorted(selection.trained):
        parameter = name if name in parameters else name.replace(f"{layer}.trained.", f"{layer}.")
        of = len(parameters[parameter]) if parameters[parameter].dim() else 1
        pieces.append(Piece(parameter, of if parameter == name else rows[layer], of))
    return Option(rules, tuple(pieces), bool(rows))
