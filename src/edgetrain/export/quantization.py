"""float32 → int8: weights per channel, activations by calibration or by each batch (PT2E)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..models.transforms.observed.capture import graph_of
from ..models.transforms.observed.quantizer import xnnpack_quantizer


def quantize(
    program: ExportedProgram,
    samples: Sequence[Tensor],
    batch: int,
    *,
    skip: Sequence[str] = (),
    dynamic: bool = False,
    fold: bool = True,
) -> nn.Module:
    """Quantizes what XNNPACK can compute in int8; the rest stays float32.

    Args:
        program: captured in evaluation mode.
        samples: [N, ...] for each input; the ranges of activations are those on these samples.
        batch: samples per run.
        skip: patterns of layers that stay float32.
        dynamic: weights in int8, and activations rounded by the program to the range of each batch; of
            linear layers, and of convolutions that no ReLU follows.
        fold: keep weights in int8; otherwise in float32, and rounded whenever they are used.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = xnnpack_quantizer("dynamic" if dynamic else "calibrated", skip)
    prepared = prepare_pt2e(graph_of(program), quantizer)
    count = len(samples[0])
    with torch.no_grad():
        for start in range(0, count, batch):
            prepared(*(tensor[[i % count for i in range(start, start + batch)]] for tensor in samples))
    return convert_pt2e(prepared, fold_quantize=fold)
