"""Who imports whom, read from the source: packages know only what lies below them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgetrain

ROOT = Path(edgetrain.__file__).parent

# From top to bottom, as in docs/architecture.md. Packages in one row don't know each other.
ROWS: list[set[str]] = [
    {"cli", "schemas"},
    {"convert", "optimize", "checking"},
    {"training", "export", "finetuning", "bench", "predicting"},
    {"runtimes"},
    {"engine", "tasks", "data", "models"},
    {"artifacts"},
    {"config"},
    {"runner", "factories"},
    {"errors", "reporting", "collector", "vision", "upstream"},
]
# `python -m edgetrain`, and the version.
OUTSIDE = {"__main__", "__init__"}


def _row(package: str) -> int:
    return next(i for i, row in enumerate(ROWS) if package in row)


def _packages() -> set[str]:
    return {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}


def _imported_packages(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and package of every import from edgetrain, inside functions too."""
    folder = path.relative_to(ROOT).parent.parts
    for node in ast.walk(tree):
        names: list[list[str]] = []
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            if node.level:
                module = ["edgetrain", *folder[: len(folder) - node.level + 1], *module]
            names = [[*module, alias.name] for alias in node.names]
        for name in names:
            if name[0] == "edgetrain" and len(name) > 1 and name[1] != "__version__":
                yield node.lineno, name[1]


def test_every_package_has_its_place() -> None:
    known = set().union(*ROWS)
    assert _packages() - OUTSIDE == known, "enter the package in ROWS and in docs/architecture.md"


@pytest.mark.parametrize("package", sorted(set().union(*ROWS)))
def test_imports_point_downwards(package: str) -> None:
    sources = (
        [ROOT / f"{package}.py"] if (ROOT / f"{package}.py").is_file() else (ROOT / package).rglob("*.py")
    )
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path in sources
        for line, target in _imported_packages(path, ast.parse(path.read_text()))
        if target != package and (target in OUTSIDE or _row(target) <= _row(package))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_rule_in_the_docs_is_this_one() -> None:
    text = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
    for number, row in enumerate(ROWS, start=1):
        line = next(line for line in text.splitlines() if line.startswith(f"| {number} |"))
        assert {name for name in line.split("`") if name.isidentifier()} == row


@pytest.mark.parametrize(
    ("statement", "target"),
    [
        ("from .. import bench as stage", "bench"),
        ("from ..bench.stage import bench", "bench"),
        ("import edgetrain.cli.app", "cli"),
        ("from edgetrain import cli", "cli"),
        ("from .joint import make_joint_graph", "export"),
        ("def f():\n    from ..data import load_dataset", "data"),
    ],
)
def test_all_forms_of_import_are_seen(statement: str, target: str) -> None:
    found = list(_imported_packages(ROOT / "export" / "stage.py", ast.parse(statement)))
    assert [package for _, package in found] == [target]
