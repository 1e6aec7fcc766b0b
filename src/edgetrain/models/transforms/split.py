"""Sparse tensor update: a layer as two along its output channels, of which one computes weight gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...artifacts.contract import Slice

# And these with zeros that are kept, as the parts keep theirs; other subclasses may compute something else.
SPLITTABLE = (nn.Linear, nn.Conv1d, nn.Conv2d)
_PARTS = ("trained", "frozen")


class SplitLayer(nn.Module):
    """A linear or convolution layer made of two that share its input; their outputs are concatenated.

    With groups, each part has whole groups, and sees their input channels only.
    """

    def __init__(self, layer: nn.Linear | nn.Conv1d | nn.Conv2d, channels: int) -> None:
        """
        Args:
            layer: what is split; its parameters are copied.
            channels: output channels of `trained`, the first ones; a multiple of `channel_unit`.
        """
        super().__init__()
        outputs = len(layer.weight)
        self.trained = _part(layer, 0, channels)
        self.frozen = _part(layer, channels, outputs)
        # Of the channels, counted from behind: a convolution's lengths come after them.
        self.dim = 1 - layer.weight.dim()
        self.inputs: list[int] | None = None
        if not isinstance(layer, nn.Linear) and layer.groups > 1:
            first = channels * layer.in_channels // outputs
            self.inputs = [first, layer.in_channels - first]
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        first, rest = (x, x) if self.inputs is None else x.split(self.inputs, self.dim)
        return torch.cat([self.trained(first), self.frozen(rest)], self.dim)

    @property
    def weight(self) -> Tensor:
        """The whole weight, for code that asks the layer for it."""
        return torch.cat([self.trained.weight, self.frozen.weight])

    @property
    def bias(self) -> Tensor | None:
        """The whole bias."""
        if self.trained.bias is None or self.frozen.bias is None:
            return None
        return torch.cat([self.trained.bias, self.frozen.bias])


def channel_unit(layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> int:
    """Of how many output channels a part of a layer has a multiple."""
    if isinstance(layer, nn.Linear) or layer.groups == 1:
        return 1
    return layer.out_channels // layer.groups


def part_slices(module: str, tensors: dict[str, Tensor]) -> dict[str, Slice]:
    """Which rows of the layer's parameters the tensors of its parts are, by their names.

    Args:
        module: the layer's name.
        tensors: those of the whole model, and maybe more.
    """
    slices = {}
    for name in ("weight", "bias"):
        start = 0
        for part in _PARTS:
            tensor = tensors.get(f"{module}.{part}.{name}")
            if tensor is not None:
                slices[f"{module}.{part}.{name}"] = Slice(
                    parameter=f"{module}.{name}", start=start, length=len(tensor)
                )
                start += len(tensor)
    return slices


def merge_parts(module: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with those of the layer's parts put together under the layer's own names."""
    merged = dict(tensors)
    for name in ("weight", "bias"):
        parts = [merged.pop(f"{module}.{part}.{name}", None) for part in _PARTS]
        held = [part for part in parts if part is not None]
        if held:
            merged[f"{module}.{name}"] = torch.cat(held)
    return merged


def _part(
    layer: nn.Linear | nn.Conv1d | nn.Conv2d, start: int, end: int
) -> nn.Linear | nn.Conv1d | nn.Conv2d:
    """A layer with some of the output channels."""
    with_bias = layer.bias is not None
    part: nn.Linear | nn.Conv1d | nn.Conv2d
    if isinstance(layer, nn.Linear):
        part = type(layer)(layer.in_features, end - start, with_bias, device="meta")
    else:
        share, outputs = end - start, layer.out_channels
        part = type(layer)(
            layer.in_channels if layer.groups == 1 else layer.in_channels * share // outputs,
            share,
            layer.kernel_size,  # type: ignore[arg-type]
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            1 if layer.groups == 1 else layer.groups * share // outputs,
            with_bias,
            layer.padding_mode,
            device="meta",
        )
    part.weight = nn.Parameter(layer.weight.detach()[start:end].clone())
    if layer.bias is not None:
        part.bias = nn.Parameter(layer.bias.detach()[start:end].clone())
    return part
