"""The runner's table of settings is the models', and both sides refuse the same values."""

from __future__ import annotations

import re

import pytest

from edgetrain.config.native_table import TABLE, make_table
from edgetrain.config.options import flags_of

ROW = re.compile(r'SETTING\("(\w+)", "(\w+)", "([\w-]+)", (k\w+), (.*)\)')


def rows() -> dict[str, tuple[str, str, str]]:
    """Flag, kind and the rest of each row by key."""
    found = (ROW.fullmatch(line) for line in make_table().splitlines() if line.startswith("SETTING"))
    return {f"{m[1]}.{m[2]}": (m[3], m[4], m[5]) for m in found if m}


def test_the_file_is_current() -> None:
    assert TABLE.read_text() == make_table(), "run: python -m edgetrain.config.native_table"


def test_every_setting_of_fine_tuning_is_there() -> None:
    sections = ("finetune", "optimizer", "schedule")
    known = {flag.key: flag.names[0] for flag in flags_of("finetune") if flag.path[0] in sections}
    table = {key: f"--{flag}" for key, (flag, _, _) in rows().items() if not key.startswith("augmentation")}
    assert {key: table.get(key) for key in known} == {
        **known,
        "finetune.runtime": None,
        "finetune.kernels": None,
        "finetune.picture": None,
        "finetune.log": None,
    }
    images = {flag.key.replace("data.", "augmentation."): flag.names[0] for flag in flags_of("finetune")}
    for key, (flag, _, _) in rows().items():
        assert key in known or images[key] == f"--{flag}"


@pytest.mark.parametrize(
    ("key", "row"),
    [
        ("finetune.epochs", ("epochs", "kWhole", '1, 1, 0, 1, 1000000000, 0, "5", "", 1, ')),
        ("finetune.shuffle", ("shuffle", "kSwitch", '0, 0, 0, 0, 0, 0, "true", "", 0, ')),
        ("optimizer.name", ("optimizer", "kText", '0, 0, 0, 0, 0, 0, "sgd", "sgd|adam|adamw", 0, ')),
        ("optimizer.momentum", ("momentum", "kReal", '1, 0, 0, 1, 1, 1, "0.9", "", 0, ')),
        ("optimizer.groups", ("group", "kRates", '0, 0, 0, 0, 0, 0, "", "", 0, ')),
        ("schedule.gamma", ("gamma", "kReal", '1, 0, 1, 1, 1, 0, "0.1", "", 0, ')),
    ],
)
def test_rows(key: str, row: tuple[str, str, str]) -> None:
    flag, kind, rest = rows()[key]
    assert (flag, kind) == row[:2]
    assert rest.startswith(row[2])
