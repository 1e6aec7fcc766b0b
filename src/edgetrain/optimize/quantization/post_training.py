"""Quantization of a trained model, without training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from ...errors import UsageError
from ...export.quantization import quantize
from ...models.transforms.observed.capture import capture_forward
from ...models.transforms.observed.quantizer import check_patterns
from ...models.transforms.zeros import without_masks
from .checks import check_float, check_samples
from .linear4 import round_linear_layers

Activations = Literal["static", "dynamic"]


def post_training(
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    *,
    skip: Sequence[str] = (),
    activations: Activations = "static",
    linear_bits: Literal[4, 8] = 8,
    batch: int = 8,
    fold: bool = True,
) -> nn.Module:
    """The int8 model of a trained one; called as the model is, or with `inputs` in their order.

    Args:
        model: in float32; it stays as it is.
        inputs: real samples [N, ...] by name, for the ranges of activations; N is at least 2.
        skip: patterns of layers that stay float32.
        activations: with the ranges they had on the samples, or (`dynamic`) rounded to the range of each
            batch when the program runs. Then linear layers compute in int8, and convolutions that no ReLU
            follows; XNNPACK's quantizer leaves the others in float32.
        linear_bits: 4 has the weights of linear layers of 32, 64, ... inputs in 4 bits, with activations that
            are rounded when the program runs; the other layers are as `activations` says.
        batch: samples per run, at least 2.
        fold: as for `export.quantization.quantize`.
    Raises:
        UsageError: the model is quantized already, doesn't take these samples, has no layer of a pattern, or
            no linear layer for 4 bits.
        CheckFailedError: torch.export can't capture the model.
    """
    check_float(model)
    check_samples(model, inputs)
    check_patterns(model, skip)
    if batch < 2:
        raise UsageError("calibration takes batches of 2 samples or more, so that any batch fits")
    with without_masks(model):
        plain = copy.deepcopy(model).eval()
    left = round_linear_layers(plain, skip) if linear_bits == 4 else []
    return quantize(
        capture_forward(plain, {name: tensor[:2] for name, tensor in inputs.items()}),
        list(inputs.values()),
        batch,
        skip=(*skip, *left),
        dynamic=activations == "dynamic",
        fold=fold,
    )
