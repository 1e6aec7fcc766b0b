"""Quantization of a trained model, without training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Literal

from torch import Tensor, nn

from ...errors import UsageError
from ...export.capture import export_graph
from ...export.quantization import quantize
from ...models.calling import arrange_inputs
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
    """The int8 model of a trained one; it takes the model's inputs, in order.

    Args:
        model: in float32; it stays as it is.
        inputs: real samples [N, ...] by name, for the ranges of activations; N is at least 2.
        skip: patterns of layers that stay float32.
        activations: with the ranges they had on the samples, or (`dynamic`) rounded to the range of each
            batch when the program runs. Then only linear layers and convolutions compute in int8.
        linear_bits: 4 has the weights of linear layers in 4 bits, with activations that are rounded when the
            program runs; the other layers are as `activations` says.
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
    arguments, keywords = arrange_inputs(model, inputs)
    samples = [*arguments, *keywords.values()]
    if batch < 2:
        raise UsageError(
            "calibration takes batches of 2 samples or more: a batch of one is traced as a constant"
        )
    with without_masks(model):
        plain = copy.deepcopy(model).eval()
    left: tuple[str, ...] = ()
    if linear_bits == 4:
        left = tuple(round_linear_layers(plain, skip))
    program = export_graph(plain, [t[:batch] for t in samples], max(batch, 2), strict=False)
    return quantize(program, samples, batch, skip=(*skip, *left), dynamic=activations == "dynamic", fold=fold)
