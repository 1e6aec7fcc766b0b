"""Small models for surgery, one for each thing that is special, and how results are checked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from edgetrain.models.transforms import apply_transforms
from edgetrain.optimize.layers import SurgeryResult, surgery


class Activated(nn.Module):
    """Activations as layers, functions and methods; [B, 3, 8, 8] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.SiLU(inplace=True)
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(self.conv(self.act(self.conv(x).repeat(1, 1, 1, 1)[:, :3])))
        x = F.gelu(x - 1, approximate="tanh") + 1
        x = F.dropout(F.silu(x + 1, inplace=True), 0.5, self.training)
        x = F.relu6(F.leaky_relu(x, 0.2)).mean((2, 3))
        return self.head(x).sigmoid()


class SqueezeExcite(nn.Module):
    """As in timm: a gate of the mean."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, 2, 1)
        self.act1 = nn.ReLU()
        self.conv_expand = nn.Conv2d(2, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        x_se = x.mean((2, 3), keepdim=True)
        x_se = self.conv_expand(self.act1(self.conv_reduce(x_se)))
        return x * self.gate(x_se)


class SELayer(nn.Module):
    """As it is often written: linear layers, reshaped, a gate at the end of a `Sequential`."""

    def __init__(self, channels: int, gate: Callable[[], nn.Module] = nn.Sigmoid) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(nn.Linear(channels, 2), nn.ReLU(), nn.Linear(2, channels), gate())

    def forward(self, x: Tensor) -> Tensor:
        b, c, _, _ = x.size()
        y = self.avg_pool(x).view(b, c)
        y = self.fc(y).view(b, c, 1, 1)
        return x * y.expand_as(x)


class HSigmoid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(x + 3) / 6


class HSwish(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sigmoid = HSigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.sigmoid(x)


class Functional(nn.Module):
    """A module around one function, [B, C, H, W] → [B, C, H', W']."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Skip(nn.Module):
    """Resizes to the size of an earlier value, which is computed; [B, 3, H, W] → the same."""

    def __init__(self, stride: int = 2) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 3, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        return x + F.interpolate(self.down(x), size=size, mode="bilinear", align_corners=False)


class Focus(nn.Module):
    """YOLOv5's."""

    def __init__(self, kernel: int = 3) -> None:
        super().__init__()
        self.conv = ConvBnAct(12, 5, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(
            torch.cat((x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]), 1)
        )


class ConvBnAct(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class Untraceable(nn.Module):
    """Control flow that depends on values; [B, 3, 8, 8] → the same."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x) if x.sum() > 0 else F.gelu(x)


def moved(model: nn.Module) -> nn.Module:
    """With batch norm's statistics as after training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model


def operated(model: nn.Module, rules: Any, inputs: Tensor) -> SurgeryResult:
    """Surgery in evaluation mode, after which the records do the same to another model of that code."""
    model.eval()
    fresh = copy.deepcopy(model)
    for parameter in fresh.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    result = surgery(model, rules, inputs=inputs)
    again = apply_transforms(fresh, result.transforms)
    again.load_state_dict(result.model.state_dict())
    assert torch.equal(again(inputs), result.model(inputs))
    assert list(again.state_dict()) == list(result.model.state_dict())
    assert [m.training for m in result.model.modules()] == [False] * len(list(result.model.modules()))
    return result


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(str(func).split(".")[1])
        return func(*args, **(kwargs or {}))


def operators(model: nn.Module, inputs: Tensor) -> set[str]:
    """Names of all ATen operators that the model calls."""
    with _Recorder() as recorder, torch.no_grad():
        model(inputs)
    return recorder.names
