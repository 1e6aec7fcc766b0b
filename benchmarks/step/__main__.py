"""A training step of the native runner against eager PyTorch, by `edgetrain bench`: in turns, dropout off."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from edgetrain.bench import BenchReport, bench
from edgetrain.config.stages import BenchCommand
from edgetrain.runner import OVERRIDE

from ..native_build import native_program
from ..tables import describe, machine, table, write_json
from ..workloads import CLASSES, PROGRAMS, WORKLOADS, Workload, export_workload, select

LARGEST_ERROR = 1e-4


def main() -> None:
    arguments = _parse()
    os.environ.setdefault(OVERRIDE, str(native_program("edgetrain-runner")))
    workloads = select(arguments.workload, WORKLOADS)
    programs = {workload: export_workload(workload, arguments.programs) for workload in workloads}
    reports = {workload: _bench(workload, program, arguments) for workload, program in programs.items()}
    if arguments.json:
        results = {str(w): {"goal": w.goal, **r.model_dump(mode="json")} for w, r in reports.items()}
        write_json({"machine": machine(), "workloads": results}, None)
    else:
        print(f"{describe(machine())}; {arguments.steps or '50 to 400'} steps in {arguments.rounds} turns\n")
        print(_times(reports))
        if len(arguments.threads) > 1:
            print("\n" + _speed_ups(reports, arguments.threads[0], arguments.threads[-1]))
    wrong = [str(w) for w, report in reports.items() if not _agrees(report)]
    if wrong:
        sys.exit(f"losses or gradients are not PyTorch's within {LARGEST_ERROR:g}: {'; '.join(wrong)}")


def _bench(workload: Workload, program: Path, arguments: argparse.Namespace) -> BenchReport:
    print(f"measuring {workload}", file=sys.stderr)
    steps, warmup = arguments.steps or workload.steps, 3
    data = {
        "shape": workload.model.shape,
        "classes": CLASSES,
        "samples": workload.batch_size * (steps + warmup),
        "task": workload.model.data,
    }
    config = BenchCommand.model_validate(
        {
            "data": {"name": "synthetic", "args": data},
            # Larger steps make resnet18, whose batch norm is frozen, a chaos that eager float64 leaves, too.
            "optimizer": {"lr": 1e-5},
            "bench": {
                "runtimes": ["torch", "native"],
                "steps": steps,
                "warmup": warmup,
                "rounds": arguments.rounds,
                "threads": arguments.threads,
                "batch_sizes": [workload.batch_size],
            },
        }
    )
    output = program.with_suffix(".bench.json")
    return bench(config, program, output, trusted=workload.model.trusted).report


def _times(reports: dict[Workload, BenchReport]) -> str:
    rows = []
    for workload, report in reports.items():
        times = {(m.runtime, m.threads): m for m in report.results}
        for (runtime, threads), native in times.items():
            if runtime == "native":
                eager = times["torch", threads].step_ms.median
                errors = (f"{e:.1e}" for e in (native.max_loss_rel_error, native.max_gradient_rel_error))
                ms, ratio = native.step_ms.median, native.ratio_to_torch
                rows.append([str(workload), threads, eager, ms, ratio, workload.goal, *errors])
    return table(
        ["workload", "threads", "eager ms", "native ms", "ratio", "goal", "loss error", "gradient error"],
        rows,
    )


def _speed_ups(reports: dict[Workload, BenchReport], few: int, many: int) -> str:
    rows = []
    for workload, report in reports.items():
        times = {(m.runtime, m.threads): m.step_ms.median for m in report.results}
        gains = [times[runtime, few] / times[runtime, many] for runtime in ("torch", "native")]
        rows.append([str(workload), *gains])
    return table([f"{many} threads are faster by", "eager", "native"], rows)


def _agrees(report: BenchReport) -> bool:
    errors = [(m.max_loss_rel_error, m.max_gradient_rel_error) for m in report.results]
    return all(error <= LARGEST_ERROR for both in errors for error in both)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step", description=__doc__)
    parser.add_argument("workload", nargs="*", help=f"words of {'; '.join(map(str, WORKLOADS))}")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, help="measured steps of each (50 to 400, by their length)")
    parser.add_argument("--rounds", type=int, default=5, help="turns they are split into (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--programs", type=Path, default=PROGRAMS, help="folder of exported programs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
