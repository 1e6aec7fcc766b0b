"""From a model to its int8 program, and what it loses by that."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..artifacts.optimization import Measured
from ..export.calibration import read_calibration
from ..models.calling import call_model
from ..models.transforms.observed.quantizer import check_patterns
from ..tasks.outputs import main_output, named_outputs
from .measure import (
    count_multiply_adds,
    count_parameters,
    count_zeros,
    evaluate,
    forward_of_program,
    latency_of,
)
from .quantization import (
    LayerNoise,
    finish_qat,
    layer_noise,
    plot_layers,
    post_training,
    prepare_qat,
    write_program,
)
from .work import Work

# Samples of a run.
_BATCH = 8
# Samples that layers are compared on, one run over all of them for each layer.
_COMPARED = 64
# Samples read at a time to tell the accuracy; each is run by itself.
_EVALUATED = 500


@dataclass(frozen=True)
class Quantized:
    """An int8 program's figures.

    Attributes:
        details: what each layer loses, and how far the outputs are from the float model's.
    """

    measured: Measured
    details: dict[str, Any]


def calibration_samples(work: Work) -> dict[str, Tensor]:
    """Real inputs by name, as the model takes them: of `optimize.calibration`, or of the training split.

    Raises:
        InputError: the file is missing or damaged.
        UsageError: its samples aren't such as the model takes, or there is neither a file nor data.
    """
    settings = work.config.optimize
    if settings.calibration is None:
        return work.samples(settings.calibration_samples)
    most = settings.calibration_samples
    return read_calibration(settings.calibration, work.checkpoint, work.task, most, work.reporter).inputs


def check_calibration(work: Work) -> Work:
    """Finds out, before any step is taken, whether the model can be quantized.

    Raises:
        as `calibration_samples`; UsageError also for patterns that fit no layer.
    """
    settings = work.config.optimize
    calibration_samples(work)
    if settings.quantize == "qat":
        work.data("epochs of training with the rounding")
    check_patterns(work.model, settings.quantize_skip)
    return work


def with_observers(work: Work) -> Work:
    """The model that learns with the rounding."""
    samples = calibration_samples(work)
    observed = prepare_qat(work.model, samples, skip=work.config.optimize.quantize_skip)
    return work.changed(observed, [observed.record])


def quantize(before: Work, work: Work, program: Path, plot: Path, title: str) -> Quantized:
    """Writes the int8 program and the picture of its layers.

    Args:
        before: the float model that it is compared with.
        work: the same; with observers after training with the rounding.
    Raises:
        CheckFailedError: the model can't be captured or lowered.
    """
    samples = calibration_samples(work)
    tensors = list(samples.values())
    if work.is_observed:
        rounded, compared = finish_qat(work.model), work.model
    else:
        rounded = _post_training(work, samples, fold=True)
        compared = _post_training(work, samples, fold=False)
    example = [tensor[:1] for tensor in tensors]
    write_program(rounded, example, program, max_batch_size=1)
    layers = layer_noise(compared, [tensor[:_COMPARED] for tensor in tensors], batch=_BATCH)
    plot_layers(layers, plot)
    names = _output_names(before, samples)
    forward = forward_of_program(program, names)
    few = {name: tensor[:_COMPARED] for name, tensor in samples.items()}
    # What rounding loses; what training with it changed is no loss of rounding.
    exact = work.as_float() if work.is_observed else before
    expected = _outputs(exact.model, few)
    found = forward(few)
    details = {
        "layers": [_plain(layer) for layer in layers],
        "sqnr_db": {name: _sqnr(found[name], expected[name]) for name in names},
        "agreement": _agreement(main_output(found), main_output(expected)),
    }
    dataset = work.dataset
    figures = {} if dataset is None else evaluate(forward, dataset, work.task, _EVALUATED, work.reporter)
    measured = Measured(
        step=title,
        figures=figures,
        parameters=count_parameters(before.model),
        zeros=count_zeros(before.model),
        multiply_adds=count_multiply_adds(before.model, before.example),
        program_bytes=program.stat().st_size,
        latency_ms=latency_of(program, before.example),
    )
    return Quantized(measured, details)


def _post_training(work: Work, samples: dict[str, Tensor], *, fold: bool) -> nn.Module:
    settings = work.config.optimize
    return post_training(
        work.model,
        samples,
        skip=settings.quantize_skip,
        activations="dynamic" if settings.quantize == "dynamic-int8" else "static",
        linear_bits=4 if settings.quantize == "int4" else 8,
        batch=_BATCH,
        fold=fold,
    )


@torch.no_grad()
def _outputs(model: nn.Module, samples: dict[str, Tensor]) -> dict[str, Tensor]:
    model.eval()
    return named_outputs(call_model(model, samples))


def _output_names(work: Work, samples: dict[str, Tensor]) -> list[str]:
    return list(_outputs(work.model, {name: tensor[:2] for name, tensor in samples.items()}))


def _plain(layer: LayerNoise) -> dict[str, Any]:
    """With None where there is no noise."""
    return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in asdict(layer).items()}


def _sqnr(found: Tensor, expected: Tensor) -> float | None:
    """Signal to quantization noise [dB]; None without noise."""
    noise = (found.double() - expected.double()).norm()
    return None if noise == 0 else float(20 * torch.log10(expected.double().norm() / noise))


def _agreement(found: Tensor, expected: Tensor) -> float | None:
    """Share of samples (pixels, tokens) with the same class; None where there is one number each."""
    if expected.dim() < 2 or expected.shape[1] < 2:
        return None
    return float((found.argmax(1) == expected.argmax(1)).double().mean())
