"""Several processes, one voice."""

from __future__ import annotations

import os


def follows() -> bool:
    """Whether this is one of torchrun's processes but not the first, which alone talks and writes."""
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    return several and os.environ.get("RANK", "0") != "0"
