"""The random numbers of the native kernels, as their documentation says."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def philox(counters: np.ndarray, call: int, seed: int = 0, step: int = 0) -> np.ndarray:
    """Philox 4x32-10 (Salmon et al. 2011) with the seed as key, of (counter, call, step)."""
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    steps = (step & 0xFFFFFFFF, step >> 32)
    c = [counters.astype(np.uint64), *(np.full(len(counters), n, np.uint64) for n in (call, *steps))]
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    for _ in range(10):
        first, second = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(second >> shift) ^ c[1] ^ key[0], second & low, (first >> shift) ^ c[3] ^ key[1], first & low]
        key = [(key[0] + np.uint64(0x9E3779B9)) & low, (key[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack(c, axis=1).reshape(-1)


def uniform(shape: list[int], seed: int, step: int, call: int) -> Tensor:
    """What `rand` draws: 24 bits each."""
    count = math.prod(shape)
    draws = philox(np.arange((count + 3) // 4), call, seed, step)[:count]
    even = (draws >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
    return torch.from_numpy(even).reshape(shape)


def normal(shape: list[int], seed: int, step: int, call: int) -> Tensor:
    """What `randn` draws: two of each two even ones (Box and Muller 1958)."""
    count = math.prod(shape)
    pairs = uniform([(count + 3) // 4 * 4], seed, step, call).double().reshape(-1, 2)
    radius, angle = torch.sqrt(-2 * torch.log(1 - pairs[:, 0])), 2 * math.pi * pairs[:, 1]
    both = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], 1)
    return both.reshape(-1)[:count].float().reshape(shape)
