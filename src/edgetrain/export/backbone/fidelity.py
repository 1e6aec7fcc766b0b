"""Whether an int8 backbone still says what it said in float32."""

from __future__ import annotations

import math

import torch

from ...errors import CheckFailedError
from ...runtimes.child import Child
from ...runtimes.kernels import Kernels
from ..pipeline import Quantized

# Networks that are quantized well have 20 dB and more; at 10 dB a third of a feature is noise.
LEAST_SQNR = 10.0


def check_features(device: Child, kernels: Kernels, quantized: Quantized, batch: int) -> float:
    """The features' signal to quantization noise on the samples for calibration [dB].

    Args:
        device: runs the program.
        kernels: whose it runs in.
        batch: samples that both take at once.
    Raises:
        CheckFailedError: it is so low that the features are worth little.
    """
    found = device.call("features", kernels, quantized.samples)
    parts = zip(*(tensor.split(batch) for tensor in quantized.samples.values()), strict=True)
    with torch.no_grad():
        expected = [quantized.reference(*part) for part in parts]
    noise = signal = 0.0
    for name, tensors in zip(quantized.features, zip(*expected, strict=True), strict=True):
        exact = torch.cat(tensors).double()
        noise += (found[name].double() - exact).square().sum().item()
        signal += exact.square().sum().item()
    sqnr = 10 * math.log10(signal / noise) if noise and signal else 0.0 if noise else 200.0
    if not sqnr >= LEAST_SQNR:
        raise CheckFailedError(
            f"the int8 backbone's features have an SQNR of {sqnr:.1f} dB, less than {LEAST_SQNR:g}: "
            "calibrate it with samples of what it will see (--calibration), or keep it in float32 "
            "(--backbone xnnpack); nothing was written"
        )
    return sqnr
