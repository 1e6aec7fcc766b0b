"""Focus, every second pixel as channels of its own before a convolution → one convolution with stride 2."""

from __future__ import annotations

import torch
from torch import nn
from torch.fx import Graph, Node

from ...models.transforms.traced_forward import Trace, called, has_own_forward
from .changes import Changes


def strided_convolutions(changes: Changes) -> None:
    """In YOLOv5's `Focus` and its like: the convolution sees the image itself, with a window twice as large.
    It computes the same."""
    for path, module in list(changes.modules()):
        if not has_own_forward(module):
            continue
        trace = changes.trace(module)
        if not isinstance(trace, Trace):
            continue
        for node in list(trace.graph.nodes):
            offsets = _offsets(node)
            if offsets is None or len(node.users) != 1:
                continue
            conv_path = _convolution(changes, path, next(iter(node.users)), node)
            if conv_path is None:
                continue
            convolution = changes.model.get_submodule(conv_path)
            assert isinstance(convolution, nn.Conv2d)
            source = node.args[0][0].args[0].name
            changes.replace_calls(path, {node.name: ("Focus", nn.Identity(), source)})
            changes.replace_layer(conv_path, _strided(convolution, offsets))


def _offsets(node: Node) -> list[tuple[int, int]] | None:
    """Of torch.cat of four times every second pixel of one image, where in each 2x2 those pixels are."""
    if called(node) not in ("torch.cat", "torch.concat"):
        return None
    parts = node.args[0] if node.args else ()
    dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
    if not isinstance(parts, list | tuple) or len(parts) != 4 or dim not in (1, -3):
        return None
    if len({part.args[0] for part in parts if isinstance(part, Node) and part.args}) != 1:
        return None
    found = [_offset(part) for part in parts if isinstance(part, Node)]
    offsets = [pair for pair in found if pair is not None]
    return offsets if len(set(offsets)) == 4 else None


def _offset(node: Node) -> tuple[int, int] | None:
    index = node.args[1] if called(node) == "operator.getitem" else None
    if not isinstance(index, tuple) or len(index) < 3:
        return None
    if any(part is not Ellipsis and part != slice(None) for part in index[:-2]):
        return None
    if index[0] is not Ellipsis and len(index) != 4:
        return None
    starts = [
        part.start or 0
        for part in index[-2:]
        if isinstance(part, slice) and part.stop is None and part.step == 2 and (part.start or 0) in (0, 1)
    ]
    return (starts[0], starts[1]) if len(starts) == 2 else None


def _convolution(changes: Changes, path: str, call: Node, given: Node | None) -> str | None:
    """Path of the convolution that a call begins with, if it can be given the image itself."""
    if call.op != "call_module" or (given is not None and call.args != (given,)):
        return None
    path = f"{path}.{call.target}".lstrip(".")
    module = changes.module(path)
    while isinstance(module, nn.Sequential) and len(module):
        name, module = next(iter(module.named_children()))
        path = f"{path}.{name}"
    if module is not None and has_own_forward(module):
        trace = changes.trace(module)
        first = _first_call(trace.graph) if isinstance(trace, Trace) else None
        return None if first is None else _convolution(changes, path, first, None)
    plain = (
        type(module) is nn.Conv2d
        and (module.stride, module.dilation, module.groups) == ((1, 1), (1, 1), 1)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )
    return path if plain else None


def _first_call(graph: Graph) -> Node | None:
    """What alone is given the only input of a forward."""
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    users = list(inputs[0].users) if len(inputs) == 1 else []
    return users[0] if len(users) == 1 else None


def _strided(convolution: nn.Conv2d, offsets: list[tuple[int, int]]) -> nn.Conv2d:
    height, width = convolution.kernel_size
    channels = convolution.in_channels // 4
    assert not isinstance(convolution.padding, str)
    new = nn.Conv2d(
        channels,
        convolution.out_channels,
        (2 * height, 2 * width),
        stride=2,
        padding=(2 * convolution.padding[0], 2 * convolution.padding[1]),
        bias=convolution.bias is not None,
    )
    with torch.no_grad():
        for i, (row, column) in enumerate(offsets):
            part = convolution.weight[:, i * channels : (i + 1) * channels]
            new.weight[:, :, row::2, column::2] = part
        if convolution.bias is not None and new.bias is not None:
            new.bias.copy_(convolution.bias)
    return new
