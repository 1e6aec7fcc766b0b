"""The kernels of edgetrain's own recurrent operators against their implementations in PyTorch, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from kernel_caller import KernelCaller, Out, relative_error
from torch import Tensor

from edgetrain.export import operators  # noqa: F401  registers them

own = torch.ops.edgetrain
# Steps, batch, size: parts of vectors and panels, more samples than go together, long sums.
SIZES = [(1, 1, 1), (3, 2, 7), (20, 8, 64), (2, 35, 33), (4, 5, 129), (2, 3, 600)]


def doubled(arguments: list[Any]) -> list[Any]:
    return [a.double() if isinstance(a, Tensor) else a for a in arguments]


def check(callers: tuple[KernelCaller, ...], name: str, *arguments: Any) -> list[Tensor]:
    """What the kernel gave, where that is right; it is the same for any number of threads."""
    expected = getattr(own, name)(*doubled(list(arguments)))
    expected = [expected] if isinstance(expected, Tensor) else list(expected)
    found = []
    for caller in callers:
        answer = caller(f"edgetrain::{name}.out", *arguments, *(Out(tuple(e.shape)) for e in expected))
        assert answer.kernel == "edgetrain"
        for actual, exact in zip(answer.outputs, expected, strict=True):
            assert relative_error(actual, exact) <= 2e-6, (name, caller.isa)
        found.append(answer.outputs)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    return found[0]


@pytest.fixture
def callers(kernels: KernelCaller, threaded_kernels: KernelCaller) -> tuple[KernelCaller, ...]:
    return kernels, threaded_kernels


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reverse", [False, True])
def test_lstm(callers: tuple[KernelCaller, ...], size: tuple[int, int, int], reverse: bool) -> None:
    steps, batch, width = size
    given, weight = torch.randn(steps, batch, 4 * width), torch.randn(4 * width, width) / width**0.5
    hidden, cell = torch.randn(2, batch, width)
    outputs, gates, cells = check(callers, "lstm", given, hidden, cell, weight, reverse)
    grads = torch.randn(2, *outputs.shape)
    for grad_cells in (None, grads[1]):
        check(callers, "lstm_backward", grads[0], grad_cells, gates, cells, cell, weight, reverse)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reverse", [False, True])
def test_gru(callers: tuple[KernelCaller, ...], size: tuple[int, int, int], reverse: bool) -> None:
    steps, batch, width = size
    given, weight = torch.randn(steps, batch, 3 * width), torch.randn(3 * width, width) / width**0.5
    hidden = torch.randn(batch, width)
    for bias in (None, torch.randn(3 * width)):
        outputs, gates = check(callers, "gru", given, hidden, weight, bias, reverse)
        check(callers, "gru_backward", torch.randn_like(outputs), outputs, gates, hidden, weight, reverse)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("relu", [False, True])
def test_rnn(callers: tuple[KernelCaller, ...], size: tuple[int, int, int], relu: bool) -> None:
    steps, batch, width = size
    given, weight = torch.randn(steps, batch, width), torch.randn(width, width) / width**0.5
    hidden = torch.randn(batch, width)
    for reverse in (False, True):
        (outputs,) = check(callers, "rnn", given, hidden, weight, relu, reverse)
        check(callers, "rnn_backward", torch.randn_like(outputs), outputs, weight, relu, reverse)


def test_no_samples(callers: tuple[KernelCaller, ...]) -> None:
    given, state = torch.randn(3, 0, 8), torch.randn(0, 2)
    outputs, _, _ = check(callers, "lstm", given, state, state, torch.randn(8, 2), False)
    assert outputs.shape == (3, 0, 2)


def lstm_call() -> list[Any]:
    given, state, weight = torch.randn(3, 2, 20), torch.randn(2, 5), torch.randn(20, 5)
    return [given, state, state, weight, False, Out((3, 2, 5)), Out((3, 2, 20)), Out((3, 2, 5))]


# Another argument for a place of `lstm_call`.
WRONG: list[tuple[int, Any]] = [
    (0, torch.randn(3, 2, 19)),
    (0, torch.randn(0, 2, 20)),
    (0, torch.randn(3, 40)),
    (0, torch.zeros(3, 2, 20, dtype=torch.int64)),
    (0, 3),
    (1, torch.randn(3, 5)),
    (1, torch.randn(2, 6)),
    (2, torch.randn(2, 4)),
    (2, None),
    (3, torch.randn(20, 6)),
    (3, torch.randn(100)),
    (4, 1),
    (5, Out((3, 2, 4))),
    (6, Out((3, 2, 20), torch.float64)),
    (7, Out((3, 2))),
]


def test_other_calls_fail(kernels: KernelCaller) -> None:
    """No stock kernel could take them."""
    assert kernels("edgetrain::lstm.out", *lstm_call()).kernel == "edgetrain"
    for place, wrong in WRONG:
        arguments = lstm_call()
        arguments[place] = wrong
        assert kernels("edgetrain::lstm.out", *arguments).kernel == "failed", (place, wrong)


def test_too_few_arguments_fail(kernels: KernelCaller) -> None:
    assert kernels("edgetrain::lstm.out", *lstm_call()[:5], Out((3, 2, 5))).kernel == "failed"
