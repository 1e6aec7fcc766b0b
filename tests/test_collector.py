"""Processes of edgetrain's own look for cycles seldom; who imports it as a library decides himself."""

from __future__ import annotations

import gc
import subprocess
import sys

from edgetrain.runtimes.child import Child


class Threshold:
    """What a child's collector is set to."""

    def youngest(self) -> int:
        return gc.get_threshold()[0]


def test_child() -> None:
    with Child(Threshold, what="looking") as child:
        assert child.call("youngest") == 10_000


def test_command_line() -> None:
    told = (
        "import gc, sys; sys.argv = ['edgetrain', '--version']; from edgetrain.cli.app import main; main(); "
    )
    code = told + "print(gc.get_threshold()[0])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.split()[-1] == "10000"


def test_library() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import edgetrain, gc; print(gc.get_threshold()[0])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() != ["10000"]
