"""How long a call takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

_PATIENCE = 0.3
_FEWEST, _MOST = 3, 50


def median_ms(call: Callable[[], object]) -> float:
    """Median time of a call after a first one."""
    call()
    times: list[float] = []
    while len(times) < _FEWEST or (sum(times) < _PATIENCE and len(times) < _MOST):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return 1e3 * statistics.median(times)
