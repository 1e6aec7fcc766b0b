"""What `check` looks at."""

from __future__ import annotations

from typing import Literal

from .base import Section, setting
from .input_shapes import InputShapes


class CheckConfig(Section):
    """Whether a model can be trained on a device, rightly and fast. There is no data: samples are random."""

    input_shape: InputShapes = setting(
        [],
        "shape of an input without batch, as in 3,32,32 or 16:int64; repeat it for further inputs; a "
        "checkpoint says it itself",
        commas=False,
    )
    num_classes: int = setting(10, "outputs of the model: per sample, pixel or token", ge=1)
    batch_size: int = setting(4, "largest batch; smaller ones are tried too", ge=1)
    batch_norm: Literal["frozen", "train"] = setting("frozen", "as in export.batch_norm")
    steps: int = setting(5, "training steps that are compared", ge=1)
    timed_steps: int = setting(20, "training steps that are timed in each runtime; 0: none", ge=0)
    threads: int = setting(1, "CPU threads to time with", ge=1, le=1024)
    learning_rate: float = setting(0.01, "learning rate of these steps", gt=0)
    tolerance: float = setting(
        1e-4,
        "largest relative error of loss, gradients and predictions; ten times as much of weights after the "
        "steps",
        ge=1e-6,
    )
    stock: bool = setting(True, "also run ExecuTorch's own kernels, on a single sample")
    seed: int = setting(0, "seed of weights and samples", ge=0)
