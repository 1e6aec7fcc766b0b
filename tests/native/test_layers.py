"""Who includes whom in native/, read from the source; and that the library prints nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "native"

# What the files of a layer may include of others, as in native/README.md. `edgetrain` are the headers that
# core installs; those beside core's sources are its own.
MAY_INCLUDE: dict[str, set[str]] = {
    "kernels": set(),
    "core": {"kernels", "edgetrain"},
    "runner": {"edgetrain"},
    "python": {"kernels", "core"},
    "tests": {"kernels", "core", "edgetrain"},
    "benchmarks": {"kernels", "edgetrain"},
}
PUBLIC = NATIVE / "core" / "include" / "edgetrain"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
PRINTS = re.compile(
    r"\b(printf|puts|putchar|fputs|fputc|fwrite|fprintf|vfprintf|perror)\s*\(|\b(cout|cerr|clog)\b"
)


def sources(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.suffix in (".cpp", ".h", ".inc")]


def layer(path: Path) -> str:
    """The layer a file belongs to; `edgetrain` for core's headers for others."""
    return "edgetrain" if PUBLIC in path.parents else path.relative_to(NATIVE).parts[0]


def included_layers(path: Path) -> Iterator[str]:
    """The layer of every file of native/ that a file includes."""
    for name in INCLUDE.findall(path.read_text()):
        if name.startswith("edgetrain/"):
            assert (PUBLIC.parent / name).is_file(), f"{path} includes {name}, which is not there"
            yield "edgetrain"
        else:
            # Files of one folder of kernels find those of another from where they lie, or from its root.
            places = [path.parent / name, NATIVE / "kernels" / name]
            (found, *_) = [place for place in places if place.is_file()]
            yield layer(found.resolve())


def test_every_folder_has_its_place() -> None:
    assert {path.name for path in NATIVE.iterdir() if path.is_dir()} == {*MAY_INCLUDE, "cmake"}


@pytest.mark.parametrize("name", MAY_INCLUDE)
def test_layers_know_only_what_lies_below(name: str) -> None:
    wrong = [
        f"{path.relative_to(NATIVE)} includes {target}"
        for path in sources(NATIVE / name)
        for target in included_layers(path)
        if layer(path) == name and target != name and target not in MAY_INCLUDE[name]
    ]
    assert not wrong, "\n".join(wrong)


def test_installed_headers_include_installed_headers_only() -> None:
    wrong = [path.name for path in sources(PUBLIC) if set(included_layers(path)) - {"edgetrain"}]
    assert not wrong


def test_the_rule_in_the_readme_is_this_one() -> None:
    text = (NATIVE / "README.md").read_text()
    for name, below in MAY_INCLUDE.items():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{name}/` |")]
        known = line.split("|")[2]
        assert set(re.findall(r"`(\w+)/?`", known)) == below, name


@pytest.mark.parametrize("path", sources(NATIVE / "core"), ids=lambda path: path.name)
def test_the_library_prints_nothing(path: Path) -> None:
    text = re.sub(r"//.*", "", path.read_text())
    printing = [match.group(0) for match in PRINTS.finditer(text)]
    assert not printing


@pytest.mark.parametrize("path", sources(NATIVE / "core"), ids=lambda path: path.name)
def test_the_library_names_no_loss(path: Path) -> None:
    """What a loss is called, how many classes there are, what is right: the program's contract says it."""
    assert not re.search(r"cross_entropy|bce_with_logits|\bmse\b|argmax|accuracy", path.read_text())


@pytest.mark.parametrize("statement", ['std::fprintf(stderr, "x")', "std::cout << 1", 'puts("x")'])
def test_printing_is_seen(statement: str) -> None:
    assert PRINTS.search(statement)


def test_all_includes_are_seen() -> None:
    assert list(included_layers(NATIVE / "core" / "optimizer.cpp")) == ["edgetrain", "kernels"]
