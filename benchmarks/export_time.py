"""How long an export takes, station by station.

`python -m benchmarks.export_time` exports models with random weights, each in a process of its own, and
prints a table of seconds. CPU seconds, of this process and not of the one that runs the program for
verification, say more than those of the clock where others work on the machine, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .native_build import ROOT
from .tables import table

STATIONS = ["imports", "prepared", "captured", "joint", "edge", "lowered", "written", "verified"]
# Model and shape of a sample.
MODELS: dict[str, tuple[str, str]] = {
    "cifar_cnn": ("cifar_cnn", "3,32,32"),
    "mobilenet_v2": ("torchvision:mobilenet_v2", "3,64,64"),
    "text encoder": ("fidelity_models:TextEncoder", "16:int64"),
}
_FIDELITY = ROOT / "tests" / "fidelity"


def measure(name: str, started: float) -> dict[str, tuple[float, float]]:
    """Seconds by station, of the clock and of this process on CPUs; it was started then."""
    model, shape = MODELS[name]
    found: dict[str, tuple[float, float]] = {}
    last = (started, 0.0)

    def done(station: str) -> None:
        nonlocal last
        now = (time.time(), sum(os.times()[:4]))
        found[station] = (now[0] - last[0], now[1] - last[1])
        last = now

    from edgetrain.checking.subject import subject_of
    from edgetrain.config.loader import load_config
    from edgetrain.export.stage import export_subject

    overrides = [
        f"model.name={model}",
        f"check.input_shape=['{shape}']",
        "check.batch_size=32",
    ]
    config = load_config("check", file=None, overrides=overrides, flags={})
    subject = subject_of(config)
    done("imports")
    with tempfile.TemporaryDirectory() as folder:
        export_subject(subject, Path(folder) / "model", done=done)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_time", description=__doc__)
    parser.add_argument("models", nargs="*", help=f"of {', '.join(MODELS)}; default: all")
    parser.add_argument("--since", type=float, help="one model in this process, started then; prints JSON")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.models if name not in MODELS]
    if unknown:
        parser.error(f"there is no {unknown[0]}: {', '.join(MODELS)}")
    if arguments.since:
        print(json.dumps(measure(arguments.models[0], arguments.since)))
        return
    rows = []
    path = os.pathsep.join(filter(None, [str(_FIDELITY), os.environ.get("PYTHONPATH", "")]))
    for name in arguments.models or MODELS:
        command = [sys.executable, "-m", "benchmarks.export_time", "--since", str(time.time()), name]
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
        if done.returncode:
            sys.exit(f"{name}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
        found = json.loads(done.stdout.strip().splitlines()[-1])
        for kind, place in (("clock", 0), ("CPU", 1)):
            seconds = [found[station][place] for station in STATIONS]
            rows.append([name, kind, *(f"{s:.1f}" for s in seconds), f"{sum(seconds):.1f}"])
    print(table(["model", "seconds", *STATIONS, "all"], rows))
    print(f"\n{os.cpu_count()} CPUs; {os.getloadavg()[0]:.1f} processes at the end")


if __name__ == "__main__":
    main()
