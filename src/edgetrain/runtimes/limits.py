"""How much memory a process may take."""

from __future__ import annotations

import os
import resource
import sys
from contextlib import suppress


def limit_memory(limit: int) -> None:
    """Lets this process, and those it starts, allocate no more than `limit` bytes each."""
    # Not the address space, of which a PyTorch for GPUs maps many times what it uses.
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (limit, limit))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def machine_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
