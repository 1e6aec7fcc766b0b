from __future__ import annotations

from torch import nn

from ...artifacts.transforms import Observers


def observe(model: nn.Module, record: Observers) -> nn.Module:
    raise NotImplementedError
