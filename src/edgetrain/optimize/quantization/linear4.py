"""Weights of linear layers in 4 bits, one scale for each output, and activations in int8 as they come.

XNNPACK has kernels for it (`qd8-f32-qc4w-gemm`). With a scale for every 32 weights (`qb4w`) programs are
larger, and of cifar_cnn the outputs were noisier (23.6 dB against 30.5).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ...errors import UsageError
from ...models.transforms.observed.quantizer import is_skipped

# Of the number of inputs; ExecuTorch hands no others over to XNNPACK.
_MULTIPLE = 32


def round_linear_layers(model: nn.Module, skip: Sequence[str]) -> list[str]:
    """Rounds the weights of those linear layers that XNNPACK takes, in place, and gives the layers' names.

    Args:
        skip: patterns of layers that stay as they are.
    Raises:
        UsageError: there is none.
    """
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerAxis, quantize_
    from torchao.utils import unwrap_tensor_subclass

    names = [
        name
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module.in_features % _MULTIPLE == 0 and not is_skipped(name, skip)
    ]
    if not names:
        raise UsageError(
            "the model has no linear layer whose weights could have 4 bits (in XNNPACK, of inputs that are a "
            f"multiple of {_MULTIPLE}); leave them at 8 bits"
        )
    config = Int8DynamicActivationIntxWeightConfig(
        weight_dtype=torch.int4,  # type: ignore[attr-defined]
        weight_granularity=PerAxis(0),
    )
    quantize_(model, config, filter_fn=lambda _, name: name in names)
    unwrap_tensor_subclass(model)
    return names
