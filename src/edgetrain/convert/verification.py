"""Source and result on the same samples: how far apart they are, and how fast each is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import CheckFailedError, InputError
from .calling import flat_outputs
from .report import Comparison
from .source import Runnable


def run_batches(model: Runnable, samples: Sequence[Tensor], batch: int) -> list[Tensor]:
    """A model's outputs on all samples, `batch` at a time; the last batch is filled up by repetition."""
    count = len(samples[0])
    collected: list[list[Tensor]] = []
    for start in range(0, count, batch):
        chosen = [i % count for i in range(start, start + batch)]
        with torch.no_grad():
            outputs = flat_outputs(model(*(tensor[chosen] for tensor in samples)))
        tensors = [value.detach().clone() for value in outputs.values()]
        # Outputs without a batch, such as hidden states [layers, B, ...], are compared as they are.
        collected.append([t[: count - start] if t.dim() and len(t) == batch else t for t in tensors])
    return [
        torch.cat(parts) if parts[0].dim() else torch.stack(parts) for parts in zip(*collected, strict=True)
    ]


def compare(found: Sequence[Tensor], expected: Sequence[Tensor]) -> Comparison:
    """Compares all outputs.

    Raises:
        CheckFailedError: their number or shapes differ.
    """
    shapes = [[list(t.shape) for t in tensors] for tensors in (found, expected)]
    if shapes[0] != shapes[1]:
        raise CheckFailedError(f"the converted model returns {shapes[0]}, the source {shapes[1]}")
    pairs = [(f.double().flatten(), e.double().flatten()) for f, e in zip(found, expected, strict=True)]
    ours, theirs = (torch.cat(side) for side in zip(*pairs, strict=True))
    if not bool(torch.isfinite(theirs).all()):
        raise InputError(
            "the source itself returns numbers that are not finite; try other samples with --inputs"
        )
    largest = (ours - theirs).abs().max().item()
    noise, signal = (ours - theirs).norm().item(), theirs.norm().item()
    scale = max(theirs.abs().max().item(), 1e-30)
    top1 = None
    if expected[0].dim() == 2 and expected[0].shape[1] > 1 and expected[0].is_floating_point():
        top1 = (found[0].argmax(1) == expected[0].argmax(1)).double().mean().item()
    return Comparison(
        samples=len(expected[0]) if expected[0].dim() else 1,
        max_error=math.inf if math.isnan(largest) else largest,
        relative_error=math.inf if math.isnan(largest) else largest / scale,
        sqnr_db=-math.inf
        if math.isnan(noise)
        else 20 * math.log10(signal / noise)
        if noise and signal
        else math.inf,
        top1=top1,
    )


def check_error(found: Comparison, tolerance: float) -> None:
    """Refuses a result that is not the source's.

    Raises:
        CheckFailedError: it is farther from the source than `tolerance` of its largest number.
    """
    if not found.relative_error <= tolerance:
        raise CheckFailedError(
            f"the converted model differs from its source by {found.relative_error:.1e} of the largest "
            f"output, more than --tolerance {tolerance:g}; nothing was written"
        )


def check_sqnr(found: Comparison, least: float) -> None:
    """Refuses a quantized result that is too noisy.

    Raises:
        CheckFailedError: its SQNR is below `least` dB.
    """
    if not found.sqnr_db >= least:
        raise CheckFailedError(
            f"the quantized model has an SQNR of {found.sqnr_db:.1f} dB, less than --min-sqnr {least:g}; "
            "calibrate it with real samples (--inputs), or keep --precision float32; nothing was written"
        )
