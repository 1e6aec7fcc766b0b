"""Source and result on the same samples: how far apart they are, and how fast each is."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..engine.comparison import Truth, distance, norm
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


def compare(found: Sequence[Tensor], expected: Sequence[Tensor], runs: int = 1) -> Comparison:
    """Compares all outputs.

    Args:
        runs: how often the lists have all outputs, one time after the other.
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
    scale = max(theirs.abs().max().item(), 1e-30)
    top1 = None
    if expected[0].dim() == 2 and expected[0].shape[1] > 1 and expected[0].is_floating_point():
        top1 = (found[0].argmax(1) == expected[0].argmax(1)).double().mean().item()
    count = len(pairs) // runs
    return Comparison(
        samples=len(expected[0]) if expected[0].dim() else 1,
        max_error=math.inf if math.isnan(largest) else largest,
        relative_error=math.inf if math.isnan(largest) else largest / scale,
        sqnr_db=_sqnr(pairs),
        top1=top1,
        sqnr_by_output=[_sqnr(pairs[index::count]) for index in range(count)],
    )


def _sqnr(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """[dB]; infinite where nothing differs, -infinite for NaN."""
    ours, theirs = (torch.cat(side) for side in zip(*pairs, strict=True))
    noise, signal = distance(ours, theirs), norm(theirs)
    if math.isnan(noise):
        return -math.inf
    if not noise:
        return math.inf
    return 20 * math.log10(signal / noise) if signal else -math.inf


def in_double(run: Runnable, samples: Sequence[Tensor], batch: int) -> list[Tensor] | None:
    """The outputs of a source whose weights and inputs are float64; None where its code takes none."""
    if not isinstance(run, nn.Module):
        return None
    wide = [tensor.double() if tensor.is_floating_point() else tensor for tensor in samples]
    try:
        return run_batches(copy.deepcopy(run).double(), wide, batch)
    except Exception:  # somebody's model may raise anything, as where it says float32 itself
        return None


def check_error(
    found: Sequence[Tensor],
    expected: Sequence[Tensor],
    tolerance: float,
    exact: Callable[[], Sequence[Tensor] | None] = lambda: None,
) -> None:
    """Refuses a result that is not the source's, by the rule of `engine/comparison.py`, for each output.

    Args:
        expected: what the source returns.
        exact: what it returns in float64, where that can be had; asked only if `found` isn't near anyway.
    Raises:
        CheckFailedError: an output is farther from the source than `tolerance` of its size, and farther from
            float64 than a few times the source itself.
    """
    pairs = list(zip(found, expected, strict=True))
    if all(Truth(theirs).error(ours) <= tolerance for ours, theirs in pairs):
        return
    judges = exact()
    if judges is None or [t.shape for t in judges] != [t.shape for t in expected]:
        judges = expected
    for (ours, theirs), judge in zip(pairs, judges, strict=True):
        truth = Truth(judge, own=distance(theirs, judge))
        error = truth.error(ours)
        # A source that is not finite in float64 tells nothing; NaN compares with nothing.
        if not error <= (truth.allowed(tolerance) if math.isfinite(truth.own) else tolerance):
            own = (
                "" if judges is expected else f" (float32's own error in the source is {truth.own_error:.1e})"
            )
            raise CheckFailedError(
                f"the converted model differs from its source by {error:.1e} of an output's size, more than "
                f"--tolerance {tolerance:g}{own}; nothing was written"
            )


def check_sqnr(found: Comparison, least: float) -> None:
    """Refuses a quantized result that is too noisy.

    Raises:
        CheckFailedError: the SQNR of an output is below `least` dB.
    """
    worst = min(found.sqnr_by_output)
    if not worst >= least:
        several = ", in the worst of its outputs" if len(found.sqnr_by_output) > 1 else ""
        raise CheckFailedError(
            f"the quantized model has an SQNR of {worst:.1f} dB{several}, less than --min-sqnr {least:g}; "
            "calibrate it with real samples (--inputs), or keep --precision float32; nothing was written"
        )
