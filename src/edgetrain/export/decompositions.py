"""Rules that write an operator as others the runtime computes rightly.

Each entry is here because the operator's own kernel in ExecuTorch 1.5 is missing or wrong; the reason
stands with it. All of them take and return what the ATen operator does, and keep the batch dynamic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def max_pool2d_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    ceil_mode: bool,
    indices: Tensor,
) -> Tensor:
    """The runtime's kernel adds into memory it never cleared (upstream issue 21686), so that every gradient
    before a max-pool is garbage. A scatter_add on zeros is the same sum. Only the shape of x is needed: its
    values needn't be kept."""
    zeros = torch.full((*x.shape[:-2], x.shape[-2] * x.shape[-1]), 0.0, dtype=x.dtype)
    return aten.scatter_add(zeros, -1, indices.flatten(-2), grad.flatten(-2)).reshape(x.shape)


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
    """The runtime's kernel refuses 1-D convolutions; a 2-D one over images of height 1 is the same. It also
    refuses transposed ones, of which the other direction is an ordinary convolution."""
    if transposed and x.dim() in (3, 4):
        return _transposed_backward(grad, x, weight, stride, padding, dilation, groups, output_mask)
    if x.dim() != 3:
        return NotImplemented
    grads = aten.convolution_backward(
        grad.unsqueeze(2),
        x.unsqueeze(2),
        weight.unsqueeze(2),
        bias_sizes,
        [1, *stride],
        [0, *padding],
        [1, *dilation],
        transposed,
        [0, *output_padding],
        groups,
        output_mask,
    )
    return tuple(g.squeeze(2) if g is not None and i < 2 else g for i, g in enumerate(grads))


def _transposed_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    groups: int,
    output_mask: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """The convolution by whose transpose y came from x takes grad to the gradient of x; and the gradient of
    its weight, for an input of grad and a gradient of x, is that of ours."""
    plain = (stride, padding, dilation, False, [0] * len(stride), groups)
    grad_x = aten.convolution(grad, weight, None, *plain) if output_mask[0] else None
    grad_weight = None
    if output_mask[1]:
        grad_weight = aten.convolution_backward(x, grad, weight, None, *plain, [False, True, False])[1]
    grad_bias = grad.sum([0, *range(2, grad.dim())]) if output_mask[2] else None
    return grad_x, grad_weight, grad_bias


def avg_pool2d_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """The runtime has no such kernel. Average pooling is a depthwise convolution with equal weights, and that
    one's gradient it has. Pools whose divisor varies over the image are left alone (and then refused)."""
    if x.dim() != 4 or ceil_mode or (any(padding) and not count_include_pad):
        return NotImplemented
    height, width = kernel_size if len(kernel_size) == 2 else kernel_size * 2
    channels = x.shape[1]
    divisor = divisor_override or height * width
    weight = torch.full((channels, 1, height, width), 1.0 / divisor, dtype=x.dtype)
    return aten.convolution_backward(
        grad,
        x,
        weight,
        None,
        stride if len(stride) else [height, width],
        padding,
        [1, 1],
        False,
        [0, 0],
        channels,
        [True, False, False],
    )[0]


def batch_norm_training(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    """Batch norm with the batch's own statistics has no out variant, and PyTorch's decomposition of it uses
    an operator the edge dialect doesn't know.

    Returns:
        output, batch mean [C], 1/std [C], new running mean [C], new running variance [C].
    """
    if not training:
        return NotImplemented
    dims = [d for d in range(x.dim()) if d != 1]
    samples = x.numel() // x.shape[1]
    mean = aten.mean.dim(x, dims, True)
    centred = x - mean
    variance = aten.mean.dim(centred * centred, dims, True)
    rstd = torch.rsqrt(variance + eps)
    out = centred * rstd
    shape = [1, -1] + [1] * (x.dim() - 2)
    if weight is not None:
        out = out * weight.reshape(shape)
    if bias is not None:
        out = out + bias.reshape(shape)
    flat_mean = mean.reshape(-1)
    # Running variance is unbiased, the one used to normalise is not.
    unbiased = variance.reshape(-1) * (samples / (samples - 1))
    new_mean = running_mean * (1 - momentum) + flat_mean * momentum
    new_var = running_var * (1 - momentum) + unbiased * momentum
    return out, flat_mean, rstd.reshape(-1), new_mean, new_var


def silu_backward(grad: Tensor, x: Tensor) -> Tensor:
    """PyTorch's own form begins with `empty_permuted`, which has no kernel."""
    sigmoid = torch.sigmoid(x)
    return grad * sigmoid * (1 + x * (1 - sigmoid))


def constant_pad_nd(x: Tensor, pad: list[int], value: float = 0) -> Tensor:
    """PyTorch's own kernel needs all sizes as numbers, and a dynamic batch is none. Negative padding cuts."""
    for i in range(len(pad) // 2):
        dim, before, after = x.dim() - 1 - i, pad[2 * i], pad[2 * i + 1]
        if before < 0 or after < 0:
            x = aten.slice(x, dim, max(-before, 0), x.shape[dim] - max(-after, 0), 1)
        sides = [
            torch.full((*x.shape[:dim], size, *x.shape[dim + 1 :]), value, dtype=x.dtype)
            for size in (max(before, 0), max(after, 0))
        ]
        parts = [part for part in (sides[0], x, sides[1]) if part is x or part.shape[dim]]
        x = torch.cat(parts, dim) if len(parts) > 1 else x
    return x


def empty_permuted(size: list[int], physical_layout: list[int], dtype: Any = None, **_: Any) -> Tensor:
    """No kernel; what is in an empty tensor doesn't matter, so zeros will do."""
    return torch.full(size, 0.0, dtype=dtype)


DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten.max_pool2d_with_indices_backward.default: max_pool2d_backward,
    aten.convolution_backward.default: convolution_backward,
    aten.avg_pool2d_backward.default: avg_pool2d_backward,
    aten._native_batch_norm_legit_functional.default: batch_norm_training,
    aten.silu_backward.default: silu_backward,
    aten.constant_pad_nd.default: constant_pad_nd,
    aten.empty_permuted.default: empty_permuted,
}
