"""Rules that write an operator as others the runtime computes rightly, one file for each family.

Each entry is here because the operator's own kernel in ExecuTorch 1.5 is missing or wrong; the reason
stands with it. All of them take and return what the ATen operator does, and keep the batch dynamic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...engine.distributions import DISTRIBUTIONS
from .convolution import convolution_backward
from .diagonals import diagonal_scatter
from .elementwise import empty_permuted, new_empty_strided, silu_backward
from .normalization import batch_norm_training
from .padding import constant_pad_nd
from .parts import select_backward, slice_backward
from .pooling import avg_pool2d_backward, max_pool2d_backward
from .weight_norm import weight_norm_backward

aten = torch.ops.aten

DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten.max_pool2d_with_indices_backward.default: max_pool2d_backward,
    aten.convolution_backward.default: convolution_backward,
    aten.avg_pool2d_backward.default: avg_pool2d_backward,
    aten._native_batch_norm_legit_functional.default: batch_norm_training,
    aten.silu_backward.default: silu_backward,
    aten.select_backward.default: select_backward,
    aten.slice_backward.default: slice_backward,
    aten.constant_pad_nd.default: constant_pad_nd,
    aten.diagonal_scatter.default: diagonal_scatter,
    aten.empty_permuted.default: empty_permuted,
    aten.new_empty_strided.default: new_empty_strided,
    aten._weight_norm_interface_backward.default: weight_norm_backward,
    **DISTRIBUTIONS,
}
