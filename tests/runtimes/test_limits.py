from __future__ import annotations

import os
import resource
import sys

import pytest

from edgetrain.runtimes.child import Child
from edgetrain.runtimes.limits import limit_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems don't hold such limits")


class Limited:
    """Allocates within a limit."""

    def __init__(self, limit: int | None = None) -> None:
        if limit is not None:
            limit_memory(limit)

    def allocate(self, size: int) -> int:
        return len(bytearray(size))

    def limit(self) -> int:
        return resource.getrlimit(resource.RLIMIT_DATA)[0]


def test_limits_hold() -> None:
    with Child(Limited, 2**30, what="allocating") as child:
        assert child.call("allocate", 2**20) == 2**20
        with pytest.raises(MemoryError):
            child.call("allocate", 2**31)


def test_children_have_one_of_their_own() -> None:
    here = resource.getrlimit(resource.RLIMIT_DATA)
    with Child(Limited, what="looking") as child:
        assert child.call("limit") == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert resource.getrlimit(resource.RLIMIT_DATA) == here
