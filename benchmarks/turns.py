"""Training steps of several runners, or of one with several programs, timed in turns: before and after."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from .tables import table

WARMUP = 3


@dataclass
class Side:
    """One of those that are compared: a runner that waits for its turns, and the times of its steps."""

    label: str
    process: subprocess.Popen[str]
    turns: list[list[float]] = field(default_factory=list)

    def turn(self, steps: int) -> list[float]:
        """The seconds that each of so many steps took."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.label}: the runner ended, with exit code {self.process.wait()}")
        return list(json.loads(line)["seconds"])


def main() -> None:
    arguments, flags = _parse()
    sides = [_open(text, flags) for text in arguments.side]
    for side in sides:
        side.turn(WARMUP)
    for _ in range(arguments.rounds):
        for side in sides:
            side.turns.append(side.turn(arguments.steps))
    for side in sides:
        side.process.communicate()
    medians = [statistics.median(t for turn in side.turns for t in turn) for side in sides]
    rows = [
        [side.label, 1e3 * median, 1e3 * min(map(statistics.median, side.turns)), medians[0] / median]
        for side, median in zip(sides, medians, strict=True)
    ]
    print(table(["", "median ms", "best turn ms", "times as fast"], rows))


def _open(text: str, flags: list[str]) -> Side:
    label, runner, program, *more = text.replace("=", ",", 1).split(",")
    command = [runner, "bench", str(Path(program)), *more, *flags]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if not process.stdout.readline():
        sys.exit(f"{label}: {' '.join(command)} ended with exit code {process.wait()}")
    return Side(label, process)


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
