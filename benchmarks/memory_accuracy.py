"""What programs reached against the memory that training them takes, as a picture: docs/results.md."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgetrain.artifacts.manifest import load_manifest, manifest_path

from .tables import table


def main() -> None:
    arguments = _parse()
    curves: dict[str, list[tuple[float, float, str]]] = {}
    for text in arguments.point:
        curve, program, result = text.split(":")
        curves.setdefault(curve, []).append(
            (_megabytes(Path(program)), _accuracy(result), Path(program).stem)
        )
    rows = [[c, name, mb, accuracy] for c, points in curves.items() for mb, accuracy, name in sorted(points)]
    print(table(["", "program", "MB", "accuracy %"], rows))
    if arguments.plot is not None:
        plot(curves, arguments.plot)


def _megabytes(program: Path) -> float:
    """Planned for `train`: activations, gradients, the weights that change and the optimizer's state."""
    methods = load_manifest(manifest_path(program)).contract.methods
    return sum(methods["train"].arena_bytes) / 1e6


def _accuracy(result: str) -> float:
    """In percent, of what `finetune --json` printed."""
    return 100 * float(json.loads(Path(result).read_text())["after"]["accuracy"])


def plot(curves: dict[str, list[tuple[float, float, str]]], path: Path) -> None:
    """Draws a curve for each group of programs."""
    import matplotlib
    from matplotlib.figure import Figure

    style = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "svg.fonttype": "none"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for curve, points in curves.items():
            ordered = sorted(points)
            axes.plot([x for x, _, _ in ordered], [y for _, y, _ in ordered], "o", label=curve)
            for x, y, name in ordered:
                axes.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
        axes.set_xscale("log")
        axes.set_xlabel("activations, gradients, weights that change and optimizer's state, planned [MB]")
        axes.set_ylabel("accuracy after fine-tuning [%]")
        axes.legend(frameon=False)
        figure.savefig(path)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory_accuracy", description=__doc__)
    parser.add_argument(
        "point", nargs="+", help="CURVE:PROGRAM.pte:RESULT.json, the output of finetune --json"
    )
    parser.add_argument("--plot", type=Path, help="picture to write")
    return parser.parse_args()


if __name__ == "__main__":
    main()
