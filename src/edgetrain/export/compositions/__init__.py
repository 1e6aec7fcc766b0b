"""Layers that the runtime has no kernel for, written as others before there is a backward graph.

Autograd then writes their gradients, so that one function stands for a layer in all methods. What only a
gradient lacks is a decomposition (`export.decompositions`). Each entry takes and returns what the ATen
operator does, keeps the batch dynamic, and returns `NotImplemented` for calls it leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .adaptive_pools import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from .attention import scaled_dot_product_attention
from .average_pools import avg_pool1d, avg_pool2d
from .bilinear import bilinear
from .distances import cdist, dist
from .elementwise import erfc, exp2
from .fused import FUSED
from .paddings import pad
from .sorting import argsort, kthvalue, median, sort
from .unrolled import UNROLLED
from .upsampling import UPSAMPLING
from .volumes import avg_pool3d, conv3d, conv_transpose3d, max_pool3d

aten = torch.ops.aten

COMPOSITIONS: dict[Any, Callable[..., Any]] = {
    **UNROLLED,
    aten.conv3d.default: conv3d,
    aten.conv3d.padding: conv3d,
    aten.conv_transpose3d.input: conv_transpose3d,
    aten.max_pool3d.default: max_pool3d,
    aten.avg_pool3d.default: avg_pool3d,
    aten.avg_pool2d.default: avg_pool2d,
    aten.avg_pool1d.default: avg_pool1d,
    aten.adaptive_avg_pool1d.default: adaptive_avg_pool1d,
    aten.adaptive_avg_pool2d.default: adaptive_avg_pool2d,
    aten.adaptive_avg_pool3d.default: adaptive_avg_pool3d,
    aten.adaptive_max_pool1d.default: adaptive_max_pool1d,
    aten.adaptive_max_pool2d.default: adaptive_max_pool2d,
    aten.adaptive_max_pool3d.default: adaptive_max_pool3d,
    **UPSAMPLING,
    aten.bilinear.default: bilinear,
    aten.dist.default: dist,
    aten.cdist.default: cdist,
    aten.erfc.default: erfc,
    aten.exp2.default: exp2,
    aten.pad.default: pad,
    aten.sort.default: sort,
    aten.argsort.default: argsort,
    aten.kthvalue.default: kthvalue,
    aten.median.dim: median,
    aten.scaled_dot_product_attention.default: scaled_dot_product_attention,
}

# For programs that may need edgetrain's own kernels.
WITH_OWN_OPERATORS: dict[Any, Callable[..., Any]] = {**COMPOSITIONS, **FUSED}
