"""Small nets out of layers that can be trained, as the code that makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

# Layers by the dimensions of a sample, written with its lengths {0}, {1}, {2}. What comes first is simplest.
_LAYERS: dict[int, list[str]] = {
    1: [
        "nn.Linear({0}, 5)",
        "nn.Linear({0}, {0}, bias=False)",
        "nn.LayerNorm({0})",
        "nn.BatchNorm1d({0})",
        "nn.Dropout(0.3)",
        "nn.PReLU()",
        "nn.utils.parametrizations.weight_norm(nn.Linear({0}, 4))",
    ],
    2: [
        "nn.Linear({1}, 6)",
        "nn.Conv1d({0}, 4, 3, padding=1)",
        "nn.Conv1d({0}, {0}, 2, groups={0})",
        "nn.ConvTranspose1d({0}, 3, 2, 2)",
        "nn.MaxPool1d(2)",
        "nn.AvgPool1d(2, 1)",
        "nn.AdaptiveAvgPool1d(3)",
        "nn.LayerNorm({1})",
        "nn.GroupNorm(1, {0})",
        "nn.InstanceNorm1d({0}, affine=True)",
        "nn.BatchNorm1d({0})",
        "nn.PReLU({0})",
        "nn.Dropout1d(0.2)",
        "Attention({1})",
        "Sequence(nn.GRU, {1})",
        "Sequence(nn.LSTM, {1})",
    ],
    3: [
        "nn.Conv2d({0}, 4, 3)",
        "nn.Conv2d({0}, 5, 3, 2, 1, bias=False)",
        "nn.Conv2d({0}, {0}, 3, padding=1, groups={0})",
        "nn.Conv2d({0}, 4, 1)",
        "nn.Conv2d({0}, 3, 2, dilation=2, padding=1)",
        "nn.ConvTranspose2d({0}, 3, 2, 2)",
        "nn.ConvTranspose2d({0}, 4, 3, 2, 1, 1)",
        "nn.MaxPool2d(2)",
        "nn.MaxPool2d(3, 1, 1)",
        "nn.AvgPool2d(2)",
        "nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)",
        "nn.AdaptiveAvgPool2d(2)",
        "nn.AdaptiveMaxPool2d((3, 2))",
        "nn.Upsample(scale_factor=2)",
        "nn.Upsample(scale_factor=2, mode='bilinear')",
        "nn.BatchNorm2d({0})",
        "nn.GroupNorm(1, {0})",
        "nn.InstanceNorm2d({0})",
        "nn.PReLU({0})",
        "nn.Dropout(0.2)",
        "nn.Dropout2d(0.2)",
        "nn.ReflectionPad2d(1)",
        "nn.ZeroPad2d((1, 0, -1, 2))",
        "nn.PixelShuffle(2)",
        "Gate({0})",
    ],
}
# Functions of a value {x} of any shape, of one with two dimensions or more, and of two values of one shape.
_FUNCTIONS = [
    "torch.relu({x})",
    "torch.tanh({x})",
    "torch.sigmoid({x})",
    "F.gelu({x})",
    "F.silu({x})",
    "F.relu6({x})",
    "F.leaky_relu({x}, 0.1)",
    "F.elu({x})",
    "F.hardswish({x})",
    "F.mish({x})",
    "F.softplus({x})",
    "torch.softmax({x}, -1)",
    "{x} * 0.5 + 0.1",
    "{x} * {x}",
    "{x}.abs()",
    "{x}.clamp(-0.6, 0.7)",
    "{x} / (1 + {x}.abs())",
    "torch.exp(-{x}.abs())",
    "torch.where({x} > 0, {x}, 0.3 * {x})",
    "torch.cat([{x}, {x}.tanh()], 1)",
    "{x}.flip(1)",
    "{x}.roll(1, 1)",
    "{x} - {x}.mean(-1, keepdim=True)",
    "F.normalize({x}, dim=1)",
    "{x}[:, :2]",
    "{x}.cumsum(1)",
]
_MATRICES = [
    "{x}.mean(1)",
    "{x}.amax(-1)",
    "{x}.transpose(1, 2)",
    "{x}.flatten(1)",
    "{x}[:, 0]",
    "{x}.repeat_interleave(2, 1)",
    "{x}.unbind(1)[-1]",
    "torch.logsumexp({x}, 1)",
    "{x}.std(-1)",
]
_PAIRS = [
    "{x} + {y}",
    "{x} * torch.sigmoid({y})",
    "{x} - 0.5 * {y}",
    "torch.maximum({x}, {y})",
    "torch.cat([{x}, {y}], 1)",
    "torch.stack([{x}, {y}], 1)",
]
_MOST_NUMBERS, _MOST_LENGTHS = 400, 12


class Attention(nn.Module):
    """[B, T, D] → [B, T, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(width, 2 if width % 2 == 0 else 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x, x, need_weights=False)[0]


class Sequence(nn.Module):
    """[B, T, D] → [B, T, 4]."""

    def __init__(self, kind: type[nn.RNNBase], width: int) -> None:
        super().__init__()
        self.layer = kind(width, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


class Gate(nn.Module):
    """Squeeze and excitation of an image."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * F.hardsigmoid(self.layer(F.adaptive_avg_pool2d(x, 1)))


NAMES = {
    "torch": torch, "nn": nn, "F": F, "Attention": Attention, "Sequence": Sequence, "Gate": Gate
}  # fmt: skip


@dataclass
class Plan:
    """A net in the making.

    Attributes:
        values: shape of a sample by variable; what was made last comes last.
        settings: of its export.
        layers: code of each by attribute, and what it takes, as lengths.
        lines: of `forward`.
        frozen: attributes.
    """

    shape: tuple[int, ...]
    values: dict[str, tuple[int, ...]]
    settings: dict[str, str] = field(default_factory=dict)
    layers: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    frozen: tuple[str, ...] = ()

    def code(self) -> str:
        """The net, with nothing to be imported but `NAMES`."""
        width = torch.Size(self.values[list(self.values)[-1]]).numel()
        made = [f"self.{name} = {code}" for name, (code, _) in self.layers.items()]
        made += [f"self.head = nn.Linear({width}, 3)"]
        made += [f"self.{name}.requires_grad_(False)" for name in self.frozen]
        body = [*self.lines, f"return self.head({list(self.values)[-1]}.flatten(1))"]
        return "\n".join(
            [
                "class Net(nn.Module):",
                "    def __init__(self):",
                "        super().__init__()",
                *(f"        {line}" for line in made),
                "",
                "    def forward(self, x):",
                *(f"        {line}" for line in body),
            ]
        )

    def add(self, expression: str, **tried: nn.Module) -> bool:
        """A line more, unless what it gives is no tensor of numbers, or too large.

        Args:
            tried: a layer that isn't there yet, by attribute.
        """
        values = {name: torch.zeros(2, *shape) for name, shape in self.values.items()}
        layers = {name: build(code) for name, (code, _) in self.layers.items()} | tried
        try:
            result = eval(expression, {**NAMES, **values, "self": _Attributes(layers)})
        except (RuntimeError, ValueError, IndexError, AssertionError):
            return False
        shape = tuple(result.shape[1:])
        if not shape or len(shape) > 3 or 0 in shape or max(shape) > _MOST_LENGTHS:
            return False
        if result.numel() > 2 * _MOST_NUMBERS:
            return False
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        self.values[name] = shape
        return True


class _Attributes:
    def __init__(self, layers: dict[str, nn.Module]) -> None:
        self.__dict__.update({name: layer.train() for name, layer in layers.items()})


def build(code: str) -> nn.Module:
    """The layer that some code makes."""
    layer = eval(code, dict(NAMES))
    assert isinstance(layer, nn.Module)
    return layer


def make_net(code: str) -> nn.Module:
    """The net that `Plan.code` gave."""
    names: dict[str, Any] = dict(NAMES)
    exec(code, names)
    net = names["Net"]()
    for module in net.modules():  # as if it were trained: what is 0 or 1 hides mistakes
        if isinstance(module, (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)):
            for tensor in (module.weight, module.bias):
                if tensor is not None:
                    tensor.data.uniform_(0.5, 1.5)
    assert isinstance(net, nn.Module)
    return net


@st.composite
def plans(draw: Callable[..., Any], most: int = 9) -> Plan:
    """Nets of images, sequences and vectors, with branches, layers used twice and frozen ones."""
    shape = draw(st.sampled_from([(6,), (4, 6), (2, 6, 6), (3, 5, 8)]))
    plan = Plan(shape, {"x": shape})
    for _ in range(draw(st.integers(1, most))):
        _extend(draw, plan)
    if plan.layers:
        plan.frozen = tuple(draw(st.lists(st.sampled_from(list(plan.layers)), max_size=2, unique=True)))
    plan.settings = {
        "batch_norm": draw(st.sampled_from(["frozen", "train"])),
        "recurrent": draw(st.sampled_from(["unrolled", "fused"])),
    }
    return plan


def _extend(draw: Callable[..., Any], plan: Plan) -> None:
    """A layer, a function, one of two values, or a layer again."""
    names = list(plan.values)
    x = draw(st.sampled_from(names[::-1][:3]))
    shape = plan.values[x]
    alike = [name for name in names if plan.values[name] == shape and name != x]
    again = [name for name, (_, taken) in plan.layers.items() if taken == shape]
    kind = draw(
        st.sampled_from(["layer", "layer", "function", *["pair"] * bool(alike), *["again"] * bool(again)])
    )
    if kind == "layer":
        code = draw(st.sampled_from(_LAYERS[len(shape)])).format(*shape)
        name = f"m{len(plan.layers)}"
        try:
            layer = build(code)
        except (ValueError, RuntimeError, AssertionError):
            return
        if plan.add(f"self.{name}({x})", **{name: layer}):
            plan.layers[name] = (code, shape)
    elif kind == "again":
        plan.add(f"self.{draw(st.sampled_from(again))}({x})")
    elif kind == "pair":
        plan.add(draw(st.sampled_from(_PAIRS)).format(x=x, y=draw(st.sampled_from(alike))))
    else:
        functions = _FUNCTIONS + (_MATRICES if len(shape) > 1 else [])
        plan.add(draw(st.sampled_from(functions)).format(x=x))
