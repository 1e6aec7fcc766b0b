"""What edgetrain depends on: said once, in pyproject.toml, and known to doctor and the docs."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from edgetrain.cli import environment
from edgetrain.cli.dependencies import Dependency, dependencies

ROOT = Path(__file__).parents[2]
LINES = [
    "torch==2.13.*",
    "typer>=0.20",
    "torchao<0.19,>=0.18",
    "rich (>=13.7)",
    'tokenizers>=0.20; extra == "text"',
    'torch==2.13.0; extra == "tested"',
    "typer==0.29.2; extra == 'tested'",
    'torchao==0.18.0; extra == "tested"',
]


def test_requirements_are_read() -> None:
    assert dependencies(LINES) == [
        Dependency("torch", "==2.13.*", "2.13.0"),
        Dependency("typer", ">=0.20", "0.29.2"),
        Dependency("torchao", "<0.19,>=0.18", "0.18.0"),
        Dependency("rich", ">=13.7", None),
    ]


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("0.19.9", -1),
        ("0.20", 0),
        ("0.20.0", 0),
        ("0.29.2", 0),
        ("0.29.2+cpu", 0),
        ("0.29.3", 1),
        ("1.0rc1", 1),
    ],
)
def test_versions_are_judged(version: str, verdict: int) -> None:
    assert Dependency("typer", ">=0.20", "0.29.2").judge(version) == verdict


def test_doctor_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"typer": "0.30.0", "torchao": "0.17.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(environment, "dependencies", lambda: dependencies(LINES))
    found = {finding.name: finding for finding in environment._others()}
    assert found["typer"].state == "untested"
    assert found["typer"].detail == "0.30.0; tested with 0.20 to 0.29.2"
    assert found["torchao"].state == "missing"
    assert found["torchao"].advice == 'pip install "torchao<0.19,>=0.18"'
    assert found["rich"].detail == "not installed"
    assert "torch" not in found
    versions |= {"typer": "0.21.0", "torchao": "0.18.1", "rich": "15.0.0"}
    assert [finding.state for finding in environment._others()] == ["untested", "ok"]


def test_the_docs_list_them() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tested = dict(line.split("==") for line in extras["tested"])
    for_users = set(extras) - {"dev", "docs", "tested"}
    named = [*project["dependencies"], *(line for name in for_users for line in extras[name])]
    needed = {re.split(r"[<>=]", line)[0]: line for line in named}
    assert set(tested) == set(needed)
    rows = {}
    for line in (ROOT / "docs" / "dependencies.md").read_text().splitlines():
        if line.startswith("| `"):
            name, required, newest, *_ = (cell.strip().strip("`") for cell in line.strip("|").split("|"))
            rows[name] = (f"{name}{required}", newest)
    assert {name: rows.get(name) for name in needed} == {
        name: (needed[name], tested[name]) for name in needed
    }
    assert set(rows) == set(needed)
