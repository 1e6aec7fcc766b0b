"""Python's collector of reference cycles."""

from __future__ import annotations

import gc

# Objects that are made before the youngest are looked through; Python has 700. Importing PyTorch and
# tracing graphs make millions that stay, and looking through them was a fifth of the time that imports take.
_MADE_BEFORE = 10_000


def collect_seldom() -> None:
    """For a process of edgetrain's own, before it imports much."""
    gc.set_threshold(_MADE_BEFORE, *gc.get_threshold()[1:])
