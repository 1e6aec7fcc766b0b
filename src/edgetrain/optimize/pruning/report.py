"""What pruning left of each layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn

from ...artifacts.transforms import KeptZeros, Transform


@dataclass(frozen=True)
class PrunedLayer:
    """One layer's weight.

    Attributes:
        before, after: its shape; the same where only single weights were pruned.
        zeros: the share of its weights that are zero.
        pattern: `channel`, `unstructured`, or N:M.
    """

    layer: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    zeros: float
    pattern: str


def weight_shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """By layer, of all that have a weight of two dimensions and more."""
    return {
        name: tuple(module.weight.shape)
        for name, module in model.named_modules()
        if isinstance(getattr(module, "weight", None), nn.Parameter) and module.weight.dim() > 1
    }


def shrunk_layers(before: dict[str, tuple[int, ...]], model: nn.Module) -> tuple[PrunedLayer, ...]:
    """The layers that lost channels, or inputs."""
    return tuple(
        PrunedLayer(name, before[name], shape, zero_share(model, name), "channel")
        for name, shape in weight_shapes(model).items()
        if shape != before[name]
    )


def sparse_layers(model: nn.Module, transforms: Iterable[Transform]) -> tuple[PrunedLayer, ...]:
    """The layers whose zeros are kept, as they are now.

    Args:
        transforms: what was done to the model; all but `KeptZeros` is ignored.
    """
    shapes = weight_shapes(model)
    return tuple(
        PrunedLayer(r.module, shapes[r.module], shapes[r.module], zero_share(model, r.module), r.pattern)
        for r in transforms
        if isinstance(r, KeptZeros)
    )


def zero_share(model: nn.Module, layer: str) -> float:
    """The share of a layer's weights that are zero."""
    weight = model.get_parameter(f"{layer}.weight" if layer else "weight")
    return 1.0 - int(weight.count_nonzero()) / weight.numel()


def listed(left: Mapping[str, str]) -> str:
    """Layers that were left whole, with the reasons, in one line."""
    if not left:
        return "it has no layers with weights of their own"
    by_reason: dict[str, list[str]] = {}
    for layer, why in left.items():
        by_reason.setdefault(why, []).append(layer)
    return "; ".join(
        f"{', '.join(layers[:3])}{f' and {len(layers) - 3} more' if len(layers) > 3 else ''}: {why}"
        for why, layers in by_reason.items()
    )
