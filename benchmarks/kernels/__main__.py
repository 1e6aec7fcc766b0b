"""Each kernel against PyTorch's own operator, on the calls of real training steps."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from ..native_build import KernelCaller, native_program
from ..peaks import ISAS, measure_peaks
from ..tables import describe, machine, write_json
from ..workloads import KERNEL_WORKLOADS, PROGRAMS, Workload, export_workload, select
from .calls import read_calls
from .measure import Timed, measure
from .report import by_call, by_operator, plot_roofline


def main() -> None:
    arguments = _parse()
    workloads = select(arguments.workload, KERNEL_WORKLOADS)
    peaks = measure_peaks(arguments.isa, arguments.threads)
    if peaks is None:
        raise SystemExit(f"this machine has no {arguments.isa}; choose another --isa")
    torch.set_num_threads(arguments.threads)
    programs = {workload: export_workload(workload, arguments.programs) for workload in workloads}
    caller = KernelCaller(native_program("kernel_calls"), arguments.isa, arguments.threads)
    measured = {str(w): _measure(caller, w, program, arguments) for w, program in programs.items()}
    caller.close()
    if arguments.plot:
        plot_roofline(measured, peaks, arguments.plot)
    if arguments.json:
        workloads = {name: [asdict(t) for t in timed] for name, timed in measured.items()}
        write_json({"machine": machine(), "peaks": asdict(peaks), "workloads": workloads}, None)
        return
    threads = f"{peaks.threads} thread{'s' if peaks.threads > 1 else ''}"
    print(f"{describe(machine())}; {peaks.isa}, {threads}, peak {peaks.gflops:.0f} GFLOP/s")
    for name, timed in measured.items():
        print(f"\n### {name}, {threads}\n\n{by_operator(timed, peaks.gflops)}")
        if arguments.calls:
            print(f"\n{by_call(timed, peaks.gflops)}")


def _measure(
    caller: KernelCaller, workload: Workload, program: Path, arguments: argparse.Namespace
) -> list[Timed]:
    print(f"measuring {workload}", file=sys.stderr)
    calls = {
        call: count
        for call, count in read_calls(program).items()
        if arguments.filter in f"{call.operator} {call.sizes}"
    }
    return [
        measure(caller, call, count, arguments.rounds, arguments.seconds) for call, count in calls.items()
    ]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"words of {', '.join(map(str, KERNEL_WORKLOADS))}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--isa", choices=ISAS, default="", help="default: the best of this machine")
    parser.add_argument("--filter", default="", help="only calls with this in 'OPERATOR SIZES'")
    parser.add_argument("--rounds", type=int, default=5, help="turns of ours and PyTorch (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.02, help="of each turn (%(default)s)")
    parser.add_argument("--calls", action="store_true", help="also print a table of every call")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--plot", type=Path, help="draw the roofline into this .svg or .png")
    parser.add_argument("--programs", type=Path, default=PROGRAMS, help="folder of exported programs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
