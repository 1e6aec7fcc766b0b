"""What else the machine was doing."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace

import psutil
import pytest

from edgetrain.bench.machine import OtherWork, busy_note, describe_machine


def test_what_others_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 9 busy seconds, 2 are this process's and 3 its children's."""
    clock, everybody, own = [0.0], [100.0], [10.0, 0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(
        psutil, "cpu_times", lambda: SimpleNamespace(user=everybody[0], system=5.0, idle=1e6, iowait=99.0)
    )
    times = {"system": 0.0, "children_system": 0.0}
    monkeypatch.setattr(os, "times", lambda: SimpleNamespace(user=own[0], children_user=own[1], **times))
    work = OtherWork()
    clock[0], everybody[0], own[:] = 8.0, 109.0, [12.0, 3.0]
    assert work.cores() == pytest.approx(4 / 8)
    everybody[0] = 104.0  # clocks of different grain
    assert work.cores() == 0


def test_when_it_is_told() -> None:
    machine = {"logical_cores": 4}
    assert busy_note(machine) is None
    assert busy_note({**machine, "others_cores": 0.39}) is None
    note = busy_note({**machine, "others_cores": 2.44})
    assert note is not None
    assert note.startswith("other programs kept 2.4 of 4 cores busy")
    assert {"cpu", "torch", "executorch", "edgetrain", "load_average"} <= set(describe_machine())
