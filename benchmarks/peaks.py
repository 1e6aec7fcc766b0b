"""What the machine reaches at most: `python -m benchmarks.peaks` prints it for every instruction set."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from dataclasses import asdict, dataclass

from .native_build import native_program
from .tables import describe, machine, table, write_json

ISAS = ("baseline", "avx2", "avx512", "neon")


@dataclass(frozen=True)
class Peaks:
    """GFLOP/s of multiply-add in registers, and GB/s by bytes that a triad works on."""

    isa: str
    threads: int
    gflops: float
    triad_gb_s: dict[str, float]


def measure_peaks(isa: str, threads: int) -> Peaks | None:
    """None where the machine has no such instruction set. An empty name stands for the best."""
    done = subprocess.run(
        [native_program("peaks"), str(threads)],
        capture_output=True,
        text=True,
        env={**os.environ, "EDGETRAIN_ISA": isa},
    )
    return Peaks(threads=threads, **json.loads(done.stdout)) if done.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peaks", description=__doc__)
    parser.add_argument("--threads", type=int, action="append", help="repeatable; default: 1 and 2")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    measured = [measure_peaks(isa, threads) for isa in ISAS for threads in arguments.threads or (1, 2)]
    found = [peaks for peaks in measured if peaks]
    if arguments.json:
        write_json({"machine": machine(), "peaks": [asdict(peaks) for peaks in found]}, None)
        return
    print(describe(machine()) + "\n")
    sizes = [f"triad of {int(size) / 2**20:.3g} MiB [GB/s]" for size in found[0].triad_gb_s]
    rows = [[p.isa, p.threads, p.gflops, *p.triad_gb_s.values()] for p in found]
    print(table(["instructions", "threads", "multiply-add [GFLOP/s]", *sizes], rows))


if __name__ == "__main__":
    main()
