"""Operators of edgetrain's own: what would take a graph very many of PyTorch's.

Importing this registers them with PyTorch, as `torch.ops.edgetrain.NAME`. Each has an implementation for
the CPU, which is the reference of the kernel in `native/kernels` and computes in float64 as well, and an
autograd formula, which becomes part of joint graphs. Only edgetrain's kernels run programs that call them.
"""

from __future__ import annotations

from .gru import gru
from .lstm import lstm
from .rnn import rnn

__all__ = ["gru", "lstm", "rnn"]
