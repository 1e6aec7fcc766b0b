"""Convolutions of the native kernels and their gradients against PyTorch's, on every instruction set."""

from __future__ import annotations

import itertools
import platform
import random
from dataclasses import dataclass

import pytest
import torch
from kernel_caller import KernelCaller, Out, relative_error


@dataclass(frozen=True)
class Case:
    """A convolution of [batch, channels, *size]."""

    batch: int
    channels: int
    size: tuple[int, ...]
    out_channels: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...] = (1, 1)
    padding: tuple[int, ...] = (0, 0)
    dilation: tuple[int, ...] = (1, 1)
    groups: int = 1

    def __str__(self) -> str:
        parts = (self.size, self.kernel, self.stride, self.padding, self.dilation)
        lists = "-".join("x".join(map(str, part)) for part in parts)
        return f"{self.batch}-{self.channels}to{self.out_channels}-{lists}-g{self.groups}"


NAMED = [
    # cifar_cnn, resnet18 and mobilenet_v2, with smaller images
    Case(3, 3, (32, 32), 32, (3, 3), padding=(1, 1)),
    Case(2, 32, (16, 16), 64, (3, 3), padding=(1, 1)),
    Case(5, 64, (8, 8), 128, (3, 3), padding=(1, 1)),
    Case(2, 3, (33, 33), 64, (7, 7), (2, 2), (3, 3)),
    Case(2, 64, (14, 14), 128, (3, 3), (2, 2), (1, 1)),
    Case(2, 64, (14, 14), 128, (1, 1), (2, 2)),
    Case(3, 24, (9, 9), 144, (1, 1)),
    Case(2, 40, (14, 14), 40, (3, 3), padding=(1, 1), groups=40),
    Case(2, 40, (15, 15), 40, (3, 3), (2, 2), (1, 1), groups=40),
    Case(3, 512, (2, 2), 64, (3, 3), padding=(1, 1)),
    # more than Winograd's method transforms at once
    Case(4, 64, (16, 16), 130, (3, 3), padding=(1, 1)),
    # more than a depthwise convolution's strip, also where its last step is not whole
    Case(1, 5, (75, 75), 5, (3, 3), (2, 2), (1, 1), groups=5),
    Case(2, 17, (77, 61), 17, (3, 3), (3, 3), (1, 1), groups=17),
    Case(1, 4, (90, 43), 4, (5, 5), (4, 2), (2, 2), (2, 1), groups=4),
    Case(2, 20, (60, 70), 20, (3, 3), (2, 1), (1, 1), groups=20),
    # few channels: vectors of pixels, rows that end within one, strips of high images
    Case(3, 3, (70, 37), 10, (5, 5), (2, 1), (2, 2)),
    Case(2, 1, (40, 19), 33, (3, 3), padding=(1, 2), dilation=(2, 3)),
    Case(5, 2, (9, 50), 7, (1, 3), (3, 1), (1, 0)),
    Case(3, 2, (200,), 7, (9,), (1,), (4,), (1,)),
    # images in parts, of which one is larger
    Case(9, 5, (20, 20), 6, (3, 3), (2, 2), (1, 1)),
    Case(7, 24, (16, 16), 40, (1, 1)),
    Case(11, 8, (24, 24), 8, (3, 3), padding=(1, 1)),
    # sides and corners of what there is
    Case(1, 1, (1, 1), 1, (1, 1)),
    Case(0, 4, (5, 5), 4, (3, 3)),
    Case(2, 5, (7, 40), 6, (1, 5), (1, 2), (0, 3)),
    Case(2, 6, (9, 9), 9, (3, 3), padding=(3, 3), groups=3),
    Case(2, 8, (9, 9), 16, (3, 3), padding=(1, 1), groups=8),
    Case(1, 4, (13, 13), 4, (3, 3), (3, 3), (2, 2), (2, 2), groups=4),
    Case(2, 4, (12, 12), 5, (2, 2), (3, 3)),
    Case(2, 3, (20, 20), 4, (3, 3), (2, 2), (4, 4), (2, 2)),
    Case(2, 3, (11, 11), 70, (3, 3), (2, 1), (1, 0), (1, 3)),
    Case(40, 16, (4, 4), 33, (3, 3), padding=(1, 1)),
    Case(9, 7, (8, 8), 7, (5, 5), padding=(2, 2), groups=7),
    # 1-D
    Case(3, 6, (50,), 10, (5,), (2,), (2,), (1,)),
    Case(3, 6, (50,), 6, (3,), (1,), (4,), (4,), groups=6),
]  # fmt: skip


def random_case(seed: int) -> Case:
    draw = random.Random(seed)
    groups = draw.choice([1, 1, 1, 2, 3])
    depthwise = draw.random() < 0.25
    channels = groups * draw.randint(1, 20)
    kernel = (draw.randint(1, 5), draw.randint(1, 5))
    dilation = (draw.randint(1, 3), draw.randint(1, 3))
    padding = (draw.randint(0, 3), draw.randint(0, 3))
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw.randint(0, 20)
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    return Case(
        draw.randint(1, 5),
        channels,
        size,
        channels if depthwise else groups * draw.randint(1, 24),
        kernel,
        (draw.randint(1, 3), draw.randint(1, 3)),
        padding,
        dilation,
        channels if depthwise else groups,
    )


def winograd_case(y: int, padding: int) -> Case:
    """3x3 with stride 1: parts of tiles, channels that fill no vector, no tiles at all."""
    x = y * 4 % 9 + 1
    padding_x = (padding + y) % 3 if x > 2 else 1
    batch = 0 if (y, padding) == (5, 1) else 1 + (y + padding) % 3
    return Case(batch, 8 + 5 * y, (y, x), 9 + 7 * padding + y, (3, 3), padding=(padding, padding_x))


WINOGRAD = [winograd_case(y, padding) for y in range(1, 10) for padding in range(3) if y + 2 * padding > 2]
RANDOM = [random_case(seed) for seed in range(120)]
CASES = NAMED + WINOGRAD + RANDOM


def usual(cases: list[Case]) -> list[object]:
    """All, of which most random ones are left to `make test-all`."""
    return [pytest.param(c, marks=pytest.mark.thorough) if c in RANDOM[40:] else c for c in cases]


def tensors(case: Case) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    weight = (case.out_channels, case.channels // case.groups, *case.kernel)
    return (
        torch.randn(case.batch, case.channels, *case.size, generator=generator),
        torch.randn(weight, generator=generator),
        torch.randn(case.out_channels, generator=generator),
    )


def settings(case: Case) -> list[object]:
    dims = len(case.size)
    return [
        *(list(value[:dims]) for value in (case.stride, case.padding, case.dilation)),
        False,
        [0] * dims,
        case.groups,
    ]


def exact(case: Case, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> torch.Tensor:
    bias = None if b is None else b.double()
    return torch.ops.aten.convolution.default(x.double(), w.double(), bias, *settings(case))


@pytest.mark.parametrize("case", usual(CASES), ids=str)
def test_forward(kernels: KernelCaller, case: Case) -> None:
    x, w, b = tensors(case)
    for bias in (b, None):
        expected = exact(case, x, w, bias)
        answer = kernels("aten::convolution.out", x, w, bias, *settings(case), Out(tuple(expected.shape)))
        assert answer.kernel == "edgetrain"
        assert relative_error(answer.outputs[0], expected) <= 1e-5


def backward(
    kernels: KernelCaller, case: Case, mask: list[bool], grad: torch.Tensor
) -> tuple[str, list[torch.Tensor]]:
    x, w, _ = tensors(case)
    outs = [Out(tuple(x.shape)), Out(tuple(w.shape)), Out((case.out_channels,))]
    arguments = [grad, x, w, [case.out_channels], *settings(case), mask]
    answer = kernels("aten::convolution_backward.out", *arguments, *outs)
    return answer.kernel, answer.outputs


@pytest.mark.parametrize("case", usual(CASES), ids=str)
def test_backward(kernels: KernelCaller, case: Case) -> None:
    x, w, b = tensors(case)
    grad = torch.randn(exact(case, x, w, b).shape, generator=torch.Generator().manual_seed(2))
    expected = torch.ops.aten.convolution_backward.default(
        grad.double(), x.double(), w.double(), [case.out_channels], *settings(case), [True] * 3
    )
    kernel, actual = backward(kernels, case, [True] * 3, grad)
    assert kernel == "edgetrain"
    for name, a, e in zip(("input", "weight", "bias"), actual, expected, strict=True):
        assert relative_error(a, e) <= 1e-5, name


def test_only_the_gradients_asked_for(kernels: KernelCaller) -> None:
    case = NAMED[0]
    grad = torch.randn(exact(case, *tensors(case)).shape)
    everything = backward(kernels, case, [True] * 3, grad)[1]
    for mask in itertools.product([True, False], repeat=3):
        some = backward(kernels, case, list(mask), grad)[1]
        for i, (asked, tensor, full) in enumerate(zip(mask, some, everything, strict=True)):
            # The bias's is summed together with the weight's, in another order than alone.
            same = torch.equal(tensor, full) if i < 2 else relative_error(tensor, full) <= 1e-6
            assert same if asked else bool(tensor.isnan().all())


def transposed(
    kernels: KernelCaller, case: Case, images: torch.Tensor, bias: torch.Tensor | None
) -> tuple[str, torch.Tensor, torch.Tensor]:
    """Whose kernel ran, its result and the exact one, from images as the case makes to such as it takes."""
    _, w, _ = tensors(case)
    stride, padding, dilation = (v[: len(case.size)] for v in (case.stride, case.padding, case.dilation))
    missing = [
        (size + 2 * p - d * (k - 1) - 1) % s
        for size, k, s, p, d in zip(case.size, case.kernel, stride, padding, dilation, strict=True)
    ]
    more = [list(stride), list(padding), list(dilation), True, missing, case.groups]
    exact_bias = None if bias is None else bias.double()
    expected = torch.ops.aten.convolution.default(images.double(), w.double(), exact_bias, *more)
    answer = kernels("aten::convolution.out", images, w, bias, *more, Out(tuple(expected.shape)))
    return answer.kernel, answer.outputs[0], expected


@pytest.mark.parametrize("case", usual([case for case in CASES if case.batch > 0]), ids=str)
def test_transposed(kernels: KernelCaller, case: Case) -> None:
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(exact(case, *tensors(case)).shape, generator=generator)
    for bias in (torch.randn(case.channels, generator=generator), None):
        kernel, actual, expected = transposed(kernels, case, images, bias)
        assert kernel == "edgetrain"
        assert relative_error(actual, expected) <= 1e-5


def test_winograd_is_what_runs(kernels: KernelCaller) -> None:
    if kernels.isa == "baseline" and platform.machine() == "x86_64":
        pytest.skip("code for old processors is small")
    case = Case(2, 16, (8, 8), 16, (3, 3), padding=(1, 1))
    x, w, _ = (tensor.mul(4).round() for tensor in tensors(case))
    expected = exact(case, x, w, None)
    output = kernels("aten::convolution.out", x, w, None, *settings(case), Out(tuple(expected.shape)))
    # Direct sums of small integers are exact.
    assert 0 < relative_error(output.outputs[0], expected) <= 1e-5


@pytest.mark.parametrize("case", NAMED, ids=str)
def test_threads_make_no_difference(
    kernels: KernelCaller, threaded_kernels: KernelCaller, case: Case
) -> None:
    x, w, b = tensors(case)
    shape = tuple(exact(case, x, w, b).shape)
    forward = ["aten::convolution.out", x, w, b, *settings(case), Out(shape)]
    assert torch.equal(kernels(*forward).outputs[0], threaded_kernels(*forward).outputs[0])
    grad = torch.randn(shape)
    one, three = (backward(k, case, [True] * 3, grad)[1] for k in (kernels, threaded_kernels))
    assert all(torch.equal(a, b) for a, b in zip(one, three, strict=True))
