"""What XNNPACK computes in int8: weights per channel and symmetric, activations with a zero point."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal

import torch
from torch import nn
from torch.fx import Node

from ....errors import UsageError
from .capture import layer_path
from .fake_quantize import FakeQuantize

# How ranges of activations are found: from samples before the program is written, from what is seen while
# training, or by the program for each batch (`dynamic`).
Ranges = Literal["calibrated", "trained", "dynamic"]


def xnnpack_quantizer(
    ranges: Ranges, skip: Sequence[str] = (), path: Callable[[Node], str] = layer_path
) -> Any:
    """The quantizer that says where a graph is rounded.

    Args:
        skip: patterns of layers that stay float32; one that fits a module fits all that is in it.
        path: the name of the module that a node comes from.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer

    quantizer = XNNPACKQuantizer().set_global(_config(ranges))
    # Graphs come here with norms in their convolutions; to look for others takes ten seconds.
    quantizer.SUPPORTED_PATTERNS = [p for p in XNNPACKQuantizer.SUPPORTED_PATTERNS if "bn" not in p.name]
    if skip:
        quantizer.set_filter_function(lambda node: not is_skipped(path(node), skip))
    return quantizer


def is_skipped(layer: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern fits a layer or a module around it."""
    parts = layer.split(".")
    names = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def check_patterns(model: nn.Module, patterns: Iterable[str]) -> None:
    """Raises:
    UsageError: a pattern fits no layer of the model.
    """
    names = [name for name, _ in model.named_modules() if name]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'?" if near else f"its layers are {', '.join(names[:5])}, ..."
            raise UsageError(f"'{pattern}' matches no layer of the model that could stay float32; {hint}")


def _config(ranges: Ranges) -> Any:
    """As ExecuTorch's, but for three things: our module rounds while training; weights are rounded to the
    range they have, where a moving average would clip those that grow; and scales may be smaller, or a
    network with small outputs (1e-3) would give zeros."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e.observer import (
        HistogramObserver,
        MovingAverageMinMaxObserver,
        MovingAveragePerChannelMinMaxObserver,
        PerChannelMinMaxObserver,
    )
    from torchao.quantization.pt2e.quantizer import QuantizationConfig, QuantizationSpec

    if ranges == "dynamic":
        return get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
    if ranges == "calibrated":
        activations = HistogramObserver.with_args(eps=_LEAST_SCALE)
        weights = PerChannelMinMaxObserver.with_args(eps=_LEAST_SCALE)
    else:
        activations = FakeQuantize.with_args(observer=MovingAverageMinMaxObserver, eps=_LEAST_SCALE)
        weights = FakeQuantize.with_args(
            observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0, eps=_LEAST_SCALE
        )
    activation = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-128,
        quant_max=127,
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=activations,
    )
    weight = QuantizationSpec(
        dtype=torch.int8,
        quant_min=-127,
        quant_max=127,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        observer_or_fake_quant_ctr=weights,
    )
    return QuantizationConfig(activation, activation, weight, None, ranges == "trained")


# XNNPACK wants input scale times weight scale, over output scale, to be at least 2^-32.
_LEAST_SCALE = 2.0**-16
