"""Dropout of the native kernels: the documented random numbers, on every instruction set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from kernel_caller import KernelCaller, Out


def philox(counters: np.ndarray, call: int) -> np.ndarray:
    """Philox 4x32-10 (Salmon et al. 2011) with key 0, of (counter, call, 0, 0)."""
    c = [counters.astype(np.uint64), *(np.full(len(counters), n, np.uint64) for n in (call, 0, 0))]
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    key = [np.uint64(0), np.uint64(0)]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(second >> shift) ^ c[1] ^ key[0], second & low, (first >> shift) ^ c[3] ^ key[1], first & low]
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(c, axis=1).reshape(-1)


@pytest.mark.parametrize("threads", [1, 3])
def test_values(kernels: KernelCaller, native_build: Path, threads: int) -> None:
    fresh = KernelCaller(native_build / "kernel_calls", kernels.isa, threads)
    for call, (count, p) in enumerate([(1, 0.5), (3, 0.3), (64, 0.5), (1001, 0.1), (40001, 0.7), (10, 1.0)]):
        x = torch.randn(count)
        outs = [Out((count,)), Out((count,), torch.bool)]
        answer = fresh("aten::native_dropout.out", x, p, True, *outs)
        draws = philox(np.arange((count + 3) // 4), call)[:count]
        uniform = (draws >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
        kept = torch.from_numpy(uniform >= np.float32(p))
        assert answer.kernel == "edgetrain"
        assert torch.equal(answer.outputs[1], kept)
        scale = torch.tensor(0.0 if p == 1 else 1 / (1 - p))
        assert torch.equal(answer.outputs[0], torch.where(kept, x * scale, 0.0))
    fresh.close()
