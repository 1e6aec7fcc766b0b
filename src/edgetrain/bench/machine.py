"""What the measurements were taken on, and what else it was doing."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

# Time of the processor that is somebody's work; `steal` is that of other virtual machines.
_WORK = ("user", "nice", "system", "irq", "softirq", "steal")
# Share of all cores from which on others disturb.
_BUSY = 0.1


class OtherWork:
    """What processes other than this one and its children do, from here on."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._others = _work_of_others()

    def cores(self) -> float:
        """Cores that they kept busy, on average. Children count as others until they have ended."""
        passed = time.monotonic() - self._started
        return max(0.0, (_work_of_others() - self._others) / passed) if passed > 0 else 0.0


def _work_of_others() -> float:
    """Seconds since the machine was started, and before."""
    everybody = psutil.cpu_times()
    own = os.times()
    mine = own.user + own.system + own.children_user + own.children_system
    return sum(getattr(everybody, name, 0.0) for name in _WORK) - mine


def busy_note(machine: dict[str, Any]) -> str | None:
    """What to say of a machine that did much else; None where it didn't."""
    others, cores = machine.get("others_cores"), machine["logical_cores"]
    if others is None or others <= _BUSY * cores:
        return None
    return (
        f"other programs kept {others:.1f} of {cores} cores busy during the benchmark, so times are too "
        "long; measure again when the machine is idle"
    )


def describe_machine() -> dict[str, Any]:
    """Processor, memory, system and versions, as plain data."""
    return {
        "cpu": _cpu_name(),
        "cores": psutil.cpu_count(logical=False) or psutil.cpu_count(),
        "logical_cores": psutil.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "executorch": version("executorch"),
        "edgetrain": version("edgetrain"),
        "load_average": psutil.getloadavg()[0],
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
