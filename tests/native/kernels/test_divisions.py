"""Kernels of divisions that round, against PyTorch's."""

from __future__ import annotations

import pytest
import torch
from kernel_caller import KernelCaller, Out, check

LEAST = -(2**63)


@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_floats(kernels: KernelCaller, mode: str) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(50, 1) * 9, torch.randn(70)
    special = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 3e38, torch.inf, -torch.inf, torch.nan])
    for x, y in ((a, b), (special[:, None], special), (b[:0], b[:1])):
        check(kernels, "aten::div.out_mode", x, y, mode)
        if mode == "floor":
            check(kernels, "aten::floor_divide.out", x, y)
    for number in (0.1, -3, 2):
        expected = torch.div(b, number, rounding_mode=mode)
        answer = kernels("aten::div.Scalar_mode_out", b, number, mode, Out((70,)))
        assert answer.kernel == "edgetrain"
        assert torch.equal(answer.outputs[0], expected)


@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_integers(kernels: KernelCaller, mode: str) -> None:
    a, b = torch.arange(-20, 20)[:, None], torch.tensor([-7, -1, 1, 3, 8, LEAST])
    check(kernels, "aten::div.out_mode", a, b, mode, dtype=torch.int64)
    for number in (-3, 5):
        expected = torch.div(a, number, rounding_mode=mode)
        answer = kernels("aten::div.Scalar_mode_out", a, number, mode, Out((40, 1), torch.int64))
        assert answer.kernel == "edgetrain"
        assert torch.equal(answer.outputs[0], expected)
    # What has no result is no crash, and by zero the stock kernel's to say.
    answer = kernels("aten::div.out_mode", torch.tensor([LEAST]), b[1:2], mode, Out((1,), torch.int64))
    assert answer.kernel == "edgetrain"
    zeros = torch.zeros(6, dtype=torch.int64)
    assert kernels("aten::div.out_mode", a, zeros, mode, Out((40, 6), torch.int64)).kernel != "edgetrain"
    assert kernels("aten::div.out_mode", a * 0.5, b * 2.0, None, Out((40, 6))).kernel != "edgetrain"
