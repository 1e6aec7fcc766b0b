"""Training steps of several runners, or of one with several programs, timed in turns: before and after."""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path

from edgetrain.bench.native_worker import RunnerSteps
from edgetrain.errors import EdgetrainError

from .tables import table

WARMUP = 3


@dataclass
class Side:
    """One of those that are compared: a runner that waits for its turns, the seconds of its steps by turn,
    and the most memory it took."""

    label: str
    runner: RunnerSteps
    turns: list[list[float]] = field(default_factory=list)
    peak_bytes: int = 0


def main() -> None:
    arguments, flags = _parse()
    try:
        sides = _measure(arguments, flags)
    except EdgetrainError as error:
        sys.exit(str(error))
    medians = [statistics.median(t for turn in side.turns for t in turn) for side in sides]
    rows = [
        [
            side.label,
            1e3 * median,
            1e3 * min(map(statistics.median, side.turns)),
            medians[0] / median,
            side.peak_bytes / 1e6,
        ]
        for side, median in zip(sides, medians, strict=True)
    ]
    print(table(["", "median ms", "best turn ms", "times as fast", "peak RSS MB"], rows))


def _measure(arguments: argparse.Namespace, flags: list[str]) -> list[Side]:
    """All sides, in turns."""
    with contextlib.ExitStack() as stack:
        sides = [_open(text, flags, stack) for text in arguments.side]
        for side in sides:
            side.runner.run(WARMUP)
        for _ in range(arguments.rounds):
            for side in sides:
                side.turns.append(side.runner.run(arguments.steps).seconds)
        for side in sides:
            side.peak_bytes = side.runner.memory().peak_rss_bytes
    return sides


def _open(text: str, flags: list[str], stack: contextlib.ExitStack) -> Side:
    label, runner, program, *more = text.replace("=", ",", 1).split(",")
    try:
        steps = RunnerSteps([Path(program), *more, *flags], Path(runner))
    except EdgetrainError as error:
        raise EdgetrainError(f"{label}: {error}") from error
    stack.callback(steps.close)
    return Side(label, steps)


def _parse() -> tuple[argparse.Namespace, list[str]]:
    """What to compare, and the flags that all runners are given: those behind --."""
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.turns", description=__doc__, usage="%(prog)s [options] SIDE... -- FLAGS"
    )
    parser.add_argument(
        "side", nargs="+", help="LABEL=RUNNER,PROGRAM[,FLAG...]; others are compared with the first"
    )
    parser.add_argument("--steps", type=int, default=60, help="steps of a turn (%(default)s)")
    parser.add_argument("--rounds", type=int, default=8, help="turns of each (%(default)s)")
    return parser.parse_args(given[:end]), given[end + 1 :]


if __name__ == "__main__":
    main()
