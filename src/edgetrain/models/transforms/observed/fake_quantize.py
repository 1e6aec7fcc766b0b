"""Rounding of a tensor to int8 and back while a model is trained."""

from __future__ import annotations

from typing import Any

import torch
from torchao.quantization.pt2e.fake_quantize import FakeQuantize as TorchaoFakeQuantize


class FakeQuantize(TorchaoFakeQuantize):
    """Rounds to the range it has seen; gradients pass where the range wasn't left.

    Scales are those that conversion computes. (The fused variant chooses others, with 128 steps on one side.)

    It looks at ranges while training only. Whether it does now is no part of its state: that follows from the
    model's mode, so that a state saved during evaluation is the one saved during training.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("observer_enabled", "fake_quant_enabled"):
            self.register_buffer(name, torch.ones(1, dtype=torch.uint8), persistent=False)

    def observe(self, on: bool) -> None:
        """Whether ranges follow what is seen from now on."""
        self.observer_enabled.fill_(on)
