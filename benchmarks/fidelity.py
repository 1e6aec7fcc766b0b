"""The matrix of models against eager PyTorch.

`python -m benchmarks.fidelity` checks them, one after the other, and writes the table of docs/models.md.

Results are kept beside, so that a run can be cut short and gone on with, and models be checked again alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edgetrain.checking.report import CheckReport

from .native_build import ROOT
from .tables import describe, machine, table

FOLDER = ROOT / "tests" / "fidelity"
sys.path.insert(0, str(FOLDER))

from matrix import BY_NAME, MATRIX, Entry  # noqa: E402, the tests' own list

_DOCS = ROOT / "docs" / "models.md"
_BEGIN, _END = "<!-- fidelity: begin -->", "<!-- fidelity: end -->"
_COLUMNS = [
    "model",
    "trains right",
    "worst gradient error",
    "PyTorch's own",
    "five steps",
    "predict",
    "step, of PyTorch's time",
    "export [s]",
    "on ExecuTorch's kernels",
]


def check(entry: Entry, *, site: Path | None, limit: float, flags: list[str]) -> dict[str, Any]:
    """What `edgetrain check --json` says of a model; `failed` where it says nothing."""
    command = [
        sys.executable,
        "-m",
        "edgetrain",
        "check",
        entry.model,
        "--input-shape",
        entry.shape,
        "--json",
    ]
    command += ["--num-classes", str(entry.classes), "--task", entry.task, *flags]
    for name, value in entry.args.items():
        command += ["--model-arg", f"{name}={json.dumps(value) if not isinstance(value, str) else value}"]
    if entry.learning_rate is not None:
        command += ["--learning-rate", str(entry.learning_rate)]
    path = [str(FOLDER), *([str(site)] if site else []), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment)
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {limit:.0f} s"}
    try:
        found: dict[str, Any] = json.loads(done.stdout)
    except json.JSONDecodeError:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return found


def row(entry: Entry, found: dict[str, Any]) -> list[Any]:
    """A line of the table."""
    name = entry.family + (f" ({entry.about})" if entry.about else "")
    if "failed" in found or not found["exports"]:
        return [name, f"no: {found.get('failed') or found['reason']}", *[""] * (len(_COLUMNS) - 2)]
    report = _report(found)
    wrong = [
        f"{run.runtime} ({run.kernels}), batch {run.batch_size}: {name}"
        for run in report.runs
        for group in run.groups.values()
        for name, compared in group.items()
        if not compared.right
    ]
    verdict = "yes" if report.right else f"no: {report.reason or ', '.join(wrong[:3])}"
    gradients, steps, predict = (report.worst(group) for group in ("gradients", "steps", "predict"))
    stock = [operator.removeprefix("aten::") for operator in report.stock_operators or []]
    return [
        name,
        verdict,
        _number(gradients and gradients[1].error),
        _number(gradients and gradients[1].own),
        _number(steps and steps[1].error),
        _number(predict and predict[1].error),
        "" if report.ratio is None else f"{report.ratio:.2f}",
        round(sum(report.export_seconds.values())),
        ", ".join(stock) or "none",
    ]


def _report(found: dict[str, Any]) -> CheckReport:
    """A report from its JSON, in which an error that is no number is null."""
    report = {key: found[key] for key in CheckReport.model_fields}
    report["runs"] = [
        {**run, "groups": {group: _numbers(compared) for group, compared in run["groups"].items()}}
        for run in found["runs"]
    ]
    return CheckReport.model_validate(report)


def _numbers(compared: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: math.nan if value is None else value for key, value in quantity.items()}
        for name, quantity in compared.items()
    }


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.0e}".replace("e-0", "e-")


def write_table(results: dict[str, Any], docs: Path, flags: list[str]) -> None:
    """Puts the table between its markers, with the flags that `edgetrain check` had."""
    rows = [row(entry, results[entry.name]) for entry in MATRIX if entry.name in results]
    text = docs.read_text()
    before, rest = text.split(_BEGIN)
    after = rest.split(_END)[1]
    command = " ".join(["python -m benchmarks.fidelity", *(f"--flag={flag}" for flag in flags)])
    by = f"Measured by `{command}` on: {describe(machine())}"
    docs.write_text(f"{before}{_BEGIN}\n{table(_COLUMNS, rows)}\n\n{by}\n{_END}{after}")


def main() -> None:
    arguments = _parse()
    results = json.loads(arguments.results.read_text()) if arguments.results.is_file() else {}
    chosen = arguments.models or [
        entry.name for entry in MATRIX if entry.needs is None or (entry.needs in arguments.extra)
    ]
    for name in chosen:
        if name in results and not arguments.again:
            continue
        started = time.perf_counter()
        found = check(BY_NAME[name], site=arguments.site, limit=arguments.limit, flags=arguments.flag)
        results[name] = found
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(json.dumps(results))
        print(
            f"{time.perf_counter() - started:6.0f} s  {'  '.join(map(str, row(BY_NAME[name], found)))}",
            flush=True,
        )
    if not arguments.no_table:
        write_table(results, _DOCS, arguments.flag)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fidelity", description=__doc__)
    parser.add_argument("models", nargs="*", help=f"of {', '.join(BY_NAME)}; default: all, but for --extra")
    parser.add_argument("--extra", action="append", default=[], choices=["timm", "transformers"])
    parser.add_argument(
        "--site", type=Path, help="folder that 'pip install --target' put those packages into"
    )
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "fidelity.json")
    parser.add_argument("--again", action="store_true", help="also what has a result already")
    parser.add_argument("--limit", type=float, default=1800, help="seconds a model may take")
    parser.add_argument(
        "--flag", action="append", default=[], help="for edgetrain check, as in --flag=--no-stock"
    )
    parser.add_argument("--no-table", action="store_true", help="leave docs/models.md as it is")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.models if name not in BY_NAME]
    if unknown:
        parser.error(f"there is no {unknown[0]} in the matrix: {', '.join(BY_NAME)}")
    return arguments


if __name__ == "__main__":
    main()
