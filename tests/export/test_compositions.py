"""Each composition against the operator it stands for: values and gradients in float64, ties included."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgetrain.export.compositions import COMPOSITIONS
from edgetrain.export.steps.composed import compose

aten = torch.ops.aten


def volume(*, ties: bool = False) -> Tensor:
    """[2, 4, 7, 6, 5]; with ties half of it is 0, and the rest has few values, as behind a ReLU."""
    torch.manual_seed(0)
    x = torch.randn(2, 4, 7, 6, 5, dtype=torch.float64)
    return torch.relu(x).round(decimals=1) if ties else x


def check(operator: Any, *args: Any, **kwargs: Any) -> None:
    """Values and gradients of a call."""
    results = []
    for function in (operator, COMPOSITIONS[operator]):
        given = [a.clone().requires_grad_() if isinstance(a, Tensor) else a for a in args]
        y = function(*given, **kwargs)
        assert y is not NotImplemented
        y = y[0] if isinstance(y, tuple) else y
        grad = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)
        y.backward(grad)
        results.append([y.detach(), *(a.grad for a in given if isinstance(a, Tensor))])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(
            found, expected, msg=lambda text: f"{operator} {args[1:]} {kwargs}: {text}"
        )


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 2, 1), (2, 3, 3)])
def test_conv3d(kernel: tuple[int, ...], groups: int) -> None:
    x, weight = volume(), torch.randn(8, 4 // groups, *kernel, dtype=torch.float64)
    bias = torch.randn(8, dtype=torch.float64)
    for stride, padding, dilation in itertools.product(
        [(1, 1, 1), (2, 1, 2)], [(0, 0, 0), (1, 2, 1)], [(1, 1, 1), (2, 1, 1)]
    ):
        check(aten.conv3d.default, x, weight, bias, stride, padding, dilation, groups)
    for padding_name in ("same", "valid"):
        check(aten.conv3d.padding, x, weight, None, padding=padding_name, dilation=[1, 2, 1], groups=groups)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 2, 1), (2, 3, 3)])
def test_conv_transpose3d(kernel: tuple[int, ...], groups: int) -> None:
    x, weight = volume(), torch.randn(4, 2, *kernel, dtype=torch.float64)
    bias = torch.randn(2 * groups, dtype=torch.float64)
    for stride, padding, dilation in itertools.product(
        [(1, 1, 1), (2, 1, 2)], [(0, 0, 0), (1, 0, 0)], [(1, 1, 1), (2, 1, 1)]
    ):
        extra = [size - 1 for size in stride]
        check(aten.conv_transpose3d.input, x, weight, bias, stride, padding, extra, groups, dilation)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("padding", [0, 1])
def test_pools(padding: int, ceil_mode: bool) -> None:
    x, tied = volume(), volume(ties=True)
    for kernel, stride in itertools.product([(2,), (3, 2, 3)], [(), (2, 1, 2)]):
        check(aten.max_pool3d.default, tied, kernel, stride, [padding], [1], ceil_mode)
        for counted, divisor in itertools.product([True, False], [None, 3]):
            check(aten.avg_pool3d.default, x, kernel, stride, [padding], ceil_mode, counted, divisor)
            if ceil_mode or (padding and not counted):
                flat, over = x[:, :, 0], (kernel[:2], stride[:2], [padding], ceil_mode, counted)
                check(aten.avg_pool2d.default, flat, *over, divisor)
                check(aten.avg_pool1d.default, x[:, :, 0, 0], kernel[:1], stride[:1], *over[2:])
    check(aten.max_pool3d.default, tied, [2], [1], [0], [2, 1, 2])


@pytest.mark.parametrize("size", [(1, 1, 1), (3, 5, 2), (9, 6, 4)])
def test_adaptive_pools(size: tuple[int, ...]) -> None:
    x, tied = volume(), volume(ties=True)
    check(aten.adaptive_avg_pool3d.default, x, size)
    check(aten.adaptive_avg_pool2d.default, x[:, :, 0], size[:2])
    check(aten.adaptive_avg_pool1d.default, x[:, :, 0, 0], size[:1])
    check(aten.adaptive_max_pool3d.default, tied, size)
    check(aten.adaptive_max_pool2d.default, tied[:, :, 0], size[:2])
    check(aten.adaptive_max_pool1d.default, tied[:, :, 0, 0], size[:1])


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("batch", [(3,), (3, 2)])
def test_bilinear(batch: tuple[int, ...], biased: bool) -> None:
    torch.manual_seed(0)
    x, y, weight, bias = (
        torch.randn(*shape, dtype=torch.float64) for shape in ((*batch, 2), (*batch, 4), (5, 2, 4), (5,))
    )
    check(aten.bilinear.default, x, y, weight, bias if biased else None)


@pytest.mark.parametrize("widths", [(2, 1), (1, 0, 0, 3), (1, -2, -1, 2), (1, 2, 0, 1, 2, 0)])
def test_padding_with_itself(widths: tuple[int, ...]) -> None:
    x = {1: volume()[:, :, 0, 0], 2: volume()[:, :, 0], 3: volume()}[len(widths) // 2]
    for mode in ("replicate", "circular"):
        check(aten.pad.default, x, widths, mode)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_distances(p: float) -> None:
    x = volume()[:, 0]
    check(aten.dist.default, x, x.flip(2) + 1, p)
    check(aten.cdist.default, x, x[:, :, :4] + 1, p)


def test_functions_of_elements() -> None:
    check(aten.exp2.default, volume())
    check(aten.erfc.default, volume())


@pytest.mark.parametrize("dim", [1, -1])
def test_sorting(dim: int) -> None:
    x = volume()[:, :, 0]
    for descending in (False, True):
        check(aten.sort.default, x, dim, descending)
        torch.testing.assert_close(
            COMPOSITIONS[aten.argsort.default](x, dim, descending), x.argsort(dim, descending)
        )
    for k in range(1, x.shape[dim] + 1):
        check(aten.kthvalue.default, x, k, dim, k % 2 == 0)
    check(aten.median.dim, x, dim, False)


def test_what_the_runtime_knows_is_left_alone() -> None:
    x = volume()
    left = [
        COMPOSITIONS[aten.avg_pool2d.default](x[:, :, 0], [2], [2], [1]),
        COMPOSITIONS[aten.avg_pool1d.default](x[:, :, 0, 0], [2]),
        COMPOSITIONS[aten.pad.default](x, [1, 1], "reflect"),
        COMPOSITIONS[aten.conv3d.default](x[0], torch.randn(8, 4, 1, 1, 1)),
    ]
    assert left == [NotImplemented] * 4


def test_every_composition_is_tested_here() -> None:
    families = (
        "adaptive_pools",
        "average_pools",
        "bilinear",
        "distances",
        "elementwise",
        "paddings",
        "sorting",
        "volumes",
    )
    # By what stands here, since processes that run tests take a part of this file each.
    checked = set(re.findall(r"(?:check\(|COMPOSITIONS\[)(aten\.\w+\.\w+)", Path(__file__).read_text()))
    assert {str(op) for op, f in COMPOSITIONS.items() if f.__module__.endswith(families)} == checked


def test_means_of_what_lies_channels_last_are_not_laid_out_so() -> None:
    """Behind a layer norm of channels."""

    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return aten.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), [1, 1])

    program = torch.export.export(Pooled(), (torch.randn(2, 5, 6, 3),))
    assert compose(program) == 1
    written = program.run_decompositions()
    called = {str(node.target) for node in written.graph.nodes if node.op == "call_function"}
    assert called == {"aten.permute.default", "aten.mean.dim"}
