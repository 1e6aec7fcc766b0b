"""How many threads PyTorch computes on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """For small batches, while other processes compute. Threads that wait for each other spin: on two busy
    cores mobilenet_v2 takes ten times as long on two threads as on one, in float64 more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
