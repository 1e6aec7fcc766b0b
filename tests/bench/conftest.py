"""Reports as `bench` makes them, with figures that were made up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from edgetrain.bench.report import BenchReport

RUNTIMES = ("torch", "executorch", "native", "executorch-stock")


@pytest.fixture
def made_up_report() -> Callable[..., BenchReport]:
    return _report


def _report(cases: int = 2, *, profiled: bool = True, **machine: Any) -> BenchReport:
    """All runtimes at so many batch sizes and numbers of threads."""
    settings = list(product((1, 2), (1, 4, 32)))[:cases]
    results = [
        _measurement(runtime, threads, size, profiled) for threads, size in settings for runtime in RUNTIMES
    ]
    known = {"cpu": "A <fast> CPU & more", "logical_cores": 2, "memory_bytes": 2**33, "load_average": 0.5}
    return BenchReport.model_validate(
        {
            "command_line": "edgetrain bench 'a <b>.pte' --profile",
            "measured_at": "2026-02-03T04:05:06Z",
            "machine": {**known, **machine},
            "workload": {
                "model": "<script>alert(1)</script>",
                "dataset": 'di"gits',
                "steps": 7,
                "optimizer": {"name": "sgd", "lr": 0.01, "groups": {}},
            },
            "results": results,
        }
    )


def _measurement(runtime: str, threads: int, size: int, profiled: bool) -> dict[str, Any]:
    torch, place = runtime == "torch", RUNTIMES.index(runtime)
    median = (1.25, 0.4375, 0.0768125, 123.4567)[place] * size**0.5 / threads
    losses = [2.3 - 0.1 * step + 1e-7 * place * (step % 3) for step in range(7)]
    return {
        "runtime": runtime,
        "kernels": None if torch else "fast",
        "update": "outside" if torch else "in graph",
        "threads": threads,
        "batch_size": size,
        "step_ms": {"median": median, "p95": median * 1.5, "min": median * 0.9},
        "samples_per_s": 1e3 * size / median,
        "load_ms": 2.5,
        "peak_rss_bytes": 330 << 20 if runtime != "native" else 6 << 20,
        "baseline_rss_bytes": 235 << 20 if runtime != "native" else 4 << 20,
        "arena_bytes": None if torch else 347_000,
        "program_bytes": None if torch else 125_000,
        "losses": losses,
        "max_loss_rel_error": 0.0 if torch else 1.1e-7,
        "max_gradient_rel_error": 3.25e-7,
        "ratio_to_torch": (1.0, 0.35, 0.06145, 98.765)[place],
        "profile": _profile(median, "torch" if torch else "edgetrain") if profiled else None,
    }


def _profile(step_ms: float, kernel: str) -> dict[str, Any]:
    """More operators than a page shows at first."""
    shares = [2.0**-n for n in range(1, 16)]
    parts = ("forward", "backward", "update")
    operators = [
        {
            "operator": f"aten::a_long_name_of_an_operator_{n}.out",
            "kernel": kernel,
            "part": parts[n % 3],
            "calls": 2.0 * n + 1,
            "ms": share * step_ms,
            "share": share,
        }
        for n, share in enumerate(shares)
    ]
    return {"steps": 7, "step_ms": step_ms * 1.1, "operators_ms": step_ms, "operators": operators}
