"""Random numbers of the native kernels: the documented ones, on every instruction set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from kernel_caller import KernelCaller, Out
from philox_reference import normal, uniform


@pytest.mark.parametrize("threads", [1, 3])
def test_values(kernels: KernelCaller, native_build: Path, threads: int) -> None:
    fresh = KernelCaller(native_build / "kernel_calls", kernels.isa, threads)
    for call, (count, p) in enumerate([(1, 0.5), (3, 0.3), (64, 0.5), (1001, 0.1), (40001, 0.7), (10, 1.0)]):
        x = torch.randn(count)
        outs = [Out((count,)), Out((count,), torch.bool)]
        answer = fresh("aten::native_dropout.out", x, p, True, *outs)
        kept = uniform([count], 0, 0, call) >= np.float32(p)
        assert answer.kernel == "edgetrain"
        assert torch.equal(answer.outputs[1], kept)
        scale = torch.tensor(0.0 if p == 1 else 1 / (1 - p))
        assert torch.equal(answer.outputs[0], torch.where(kept, x * scale, 0.0))
    fresh.close()


@pytest.mark.parametrize("threads", [1, 3])
def test_rand_and_randn(kernels: KernelCaller, native_build: Path, threads: int) -> None:
    """Each call draws anew, from one sequence of calls with dropout's."""
    fresh = KernelCaller(native_build / "kernel_calls", kernels.isa, threads)
    shapes = [(1,), (3,), (2, 33), (40, 1001), ()]
    for call, shape in enumerate(shapes):
        answer = fresh("aten::rand.out", list(shape), Out(shape))
        assert answer.kernel == "edgetrain"
        assert torch.equal(answer.outputs[0], uniform(list(shape), 0, 0, call))
    for call, shape in enumerate(shapes, start=len(shapes)):
        found = fresh("aten::randn.out", list(shape), Out(shape)).outputs[0]
        torch.testing.assert_close(found, normal(list(shape), 0, 0, call), rtol=1e-5, atol=1e-6)
    fresh.close()


def test_distributions(kernels: KernelCaller, native_build: Path) -> None:
    """Mean, variance and tails, and no correlation of one call with the next or of neighbours."""
    fresh = KernelCaller(native_build / "kernel_calls", kernels.isa, 1)
    count = 200_000
    within = 6 / count**0.5
    for name, mean, variance in (("rand", 0.5, 1 / 12), ("randn", 0.0, 1.0)):
        first, second = (fresh(f"aten::{name}.out", [count], Out((count,))).outputs[0] for _ in range(2))
        for draws in (first, second):
            assert abs(draws.mean() - mean) < within * variance**0.5
            assert abs(draws.var() - variance) < 2 * within * variance
        pairs = ((first, second), (first[1:], first[:-1]), (first[2:], first[:-2]), (first[4:], first[:-4]))
        for a, b in pairs:
            assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < within
    assert first.abs().max() > 4
    within_one = (first.abs() < 1).float().mean()
    assert abs(within_one - 0.682689) < within
    fresh.close()
