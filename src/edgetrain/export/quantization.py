"""float32 → int8: weights per channel, activations by calibration (PT2E)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram


def quantize(program: ExportedProgram, samples: Sequence[Tensor], batch: int) -> nn.Module:
    """Quantizes what XNNPACK can compute in int8; the rest stays float32.

    Args:
        program: captured in evaluation mode.
        samples: [N, ...] for each input; the ranges of activations are those on these samples.
        batch: samples per run.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(program.module(check_guards=False), quantizer)
    count = len(samples[0])
    with torch.no_grad():
        for start in range(0, count, batch):
            prepared(*(tensor[[i % count for i in range(start, start + batch)]] for tensor in samples))
    return convert_pt2e(prepared)
