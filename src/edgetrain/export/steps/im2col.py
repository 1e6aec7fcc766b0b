"""Convolutions as matrix products over patches, for runtimes that have no fast convolution.

ExecuTorch's own convolutions are plain loops, while its matrix product is a tuned one, so that a program
written so trains several times faster in a stock build (im2col: Chellapilla et al., 2006). It takes more
memory: a patch matrix is kernel height x kernel width times as large as the image.

Matrices hold channels in rows and the pixels of all images in columns, so that each group of channels is one
product and no weight is repeated for the images of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...artifacts.contract import BACKBONE
from ...config.stages import ExportCommand
from .. import decompositions
from ..joint import joint_decompositions
from ..module_paths import complete_paths
from ..passes.reshaped_views import reshaped_views
from ..pipeline import Joint

aten = torch.ops.aten


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Any:
    """[B, C, H, W] * [O, C / groups, h, w] → [B, O, H', W'], and the same in one dimension. Transposed
    convolutions are left alone."""
    if transposed or x.dim() not in (3, 4):
        return NotImplemented
    if x.dim() == 3:
        images, kernels = x.unsqueeze(2), weight.unsqueeze(2)
        y = convolution(
            images, kernels, bias, [1, *stride], [0, *padding], [1, *dilation], False, [0, 0], groups
        )
        return y.squeeze(2)
    out_channels, _, *kernel = weight.shape
    height, width = (
        (x.shape[2 + i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
    )
    columns = _patches(_pad(x, padding), kernel, stride, dilation, (height, width), groups)
    rows = torch.bmm(weight.reshape(groups, out_channels // groups, -1), columns)
    y = rows.reshape(out_channels, x.shape[0], height, width).permute(1, 0, 2, 3)
    return y if bias is None else y + bias.reshape(1, -1, 1, 1)


def convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: list[int] | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    output_mask: list[bool],
) -> Any:
    """Gradients of the input, the weight and the bias, None for those that the mask leaves out."""
    if transposed:
        return NotImplemented
    if x.dim() != 4:
        return decompositions.convolution_backward(
            grad, x, weight, bias_sizes, stride, padding, dilation, False, output_padding, groups, output_mask
        )
    grad_input = _grad_input(grad, x, weight, stride, padding, dilation, groups) if output_mask[0] else None
    grad_weight = _grad_weight(grad, x, weight, stride, padding, dilation, groups) if output_mask[1] else None
    grad_bias = grad.sum((0, 2, 3)) if output_mask[2] else None
    return grad_input, grad_weight, grad_bias


def _grad_weight(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """Patches times the gradient of the pixels they gave; the smaller of the two is transposed."""
    kernel = weight.shape[2:]
    size = (int(grad.shape[2]), int(grad.shape[3]))
    columns = _patches(_pad(x, padding), kernel, stride, dilation, size, groups)
    rows = _by_channel(grad, groups).permute(0, 2, 1)
    return torch.bmm(columns, rows).permute(0, 2, 1).reshape(weight.shape)


def _grad_input(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
) -> Tensor:
    """The gradient, with the zeros between its pixels that strides leave out, convolved with the kernels
    turned round."""
    out_channels, per_group, *kernel = weight.shape
    size = (int(x.shape[2]), int(x.shape[3]))
    spread = _spread(_spread(grad, 2, stride[0]), 3, stride[1])
    # What a pixel of the input needs on either side of its own place in the gradient.
    before = [dilation[i] * (kernel[i] - 1) - padding[i] for i in (0, 1)]
    after = [size[i] - int(spread.shape[2 + i]) + dilation[i] * (kernel[i] - 1) - before[i] for i in (0, 1)]
    # Negative where padding was wider than the kernel reaches: those outputs saw zeros alone.
    spread = aten.constant_pad_nd(spread, [before[1], after[1], before[0], after[0]], 0.0)
    columns = _patches(spread, kernel, [1, 1], dilation, size, groups)
    turned = weight.flip([2, 3]).reshape(groups, out_channels // groups, per_group, -1)
    rows = torch.bmm(turned.permute(0, 2, 1, 3).reshape(groups, per_group, -1), columns)
    return rows.reshape(groups * per_group, x.shape[0], *size).permute(1, 0, 2, 3)


def _patches(
    x: Tensor,
    kernel: Sequence[int],
    stride: list[int],
    dilation: list[int],
    size: tuple[int, int],
    groups: int,
) -> Tensor:
    """[B, C, H, W] → [groups, C / groups * h * w, B * H' * W']: what the kernel sees for an output pixel."""
    images = x.permute(1, 0, 2, 3)
    taps = []
    for y in range(kernel[0]):
        rows = _every(images, 2, y * dilation[0], stride[0], size[0])
        taps += [_every(rows, 3, x * dilation[1], stride[1], size[1]) for x in range(kernel[1])]
    stacked = torch.stack(taps, 1) if len(taps) > 1 else taps[0]
    return stacked.reshape(groups, x.shape[1] // groups * len(taps), -1)


def _every(x: Tensor, dim: int, first: int, step: int, count: int) -> Tensor:
    if first == 0 and step == 1 and x.shape[dim] == count:
        return x
    return aten.slice(x, dim, first, first + (count - 1) * step + 1, step)


def _by_channel(x: Tensor, groups: int) -> Tensor:
    """[B, C, H, W] → [groups, C / groups, B * H * W]"""
    return x.permute(1, 0, 2, 3).reshape(groups, x.shape[1] // groups, -1)


def _pad(x: Tensor, padding: list[int]) -> Tensor:
    if not any(padding):
        return x
    return aten.constant_pad_nd(x, [padding[1], padding[1], padding[0], padding[0]], 0.0)


def _spread(x: Tensor, dim: int, step: int) -> Tensor:
    """Puts step - 1 zeros after every element of a dimension but the last."""
    if step == 1:
        return x
    length = int(x.shape[dim])
    wide = x.unsqueeze(dim + 1)
    zeros = torch.full((*x.shape[: dim + 1], step - 1, *x.shape[dim + 1 :]), 0.0, dtype=x.dtype)
    shape = (*x.shape[:dim], length * step, *x.shape[dim + 1 :])
    return aten.slice(torch.cat([wide, zeros], dim + 1).reshape(shape), dim, 0, length * step - step + 1, 1)


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten.convolution.default: convolution,
    aten.convolution_backward.default: convolution_backward,
}


def without_convolutions(joint: Joint, command: ExportCommand) -> Joint:
    """All graphs in core ATen operators, with no convolution that isn't transposed; but that of a backbone,
    whose backend has convolutions of its own."""
    # Results lie in memory otherwise than a convolution's, and views would not fit them.
    reshaped_views(joint.graphs["train"])
    table = {**joint_decompositions(), **DECOMPOSITIONS}
    graphs = {
        name: program if name == BACKBONE else program.run_decompositions(table)
        for name, program in joint.graphs.items()
    }
    complete_paths(graphs["train"])
    return replace(joint, graphs=graphs)
