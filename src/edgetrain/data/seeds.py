"""Random numbers that depend on what they are for, never on what was drawn before."""

from __future__ import annotations

import hashlib

import torch


def generator_for(*purpose: int | str) -> torch.Generator:
    """A generator seeded by nothing but `purpose`, as in `generator_for(seed, "order", epoch)`.

    Two purposes give unrelated numbers; the same purpose gives the same numbers, in any process.
    """
    digest = hashlib.blake2b("/".join(map(str, purpose)).encode(), digest_size=8).digest()
    # PyTorch's CPU generator uses 32 bits of its seed, hence the mask: what isn't used isn't promised.
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") & 0xFFFF_FFFF)
