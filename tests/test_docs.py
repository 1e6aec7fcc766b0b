"""The docs as a reader uses them: links lead somewhere, command lines have flags that exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from edgetrain.cli.app import app

ROOT = Path(__file__).parents[1]
NAMES = ("README.md", "CONTRIBUTING.md", "native/README.md")
PAGES = [path for name in NAMES if (path := ROOT / name).is_file()]
PAGES += sorted((ROOT / "docs").glob("*.md"))
RECIPES = sorted((ROOT / "configs").glob("*.yaml"))

_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_SPAN = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_COMMAND = re.compile(r"^[#$ ]*(?:torchrun .* -m |python -m )?edgetrain (?! )(.+)$", re.MULTILINE)
_END = {"|", "||", "&&", ";", ">", "2>", "<", "→"}

name_of = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def _prose(page: Path) -> str:
    return _SPAN.sub("`code`", _FENCE.sub("", page.read_text()))


def _links(page: Path) -> Iterator[str]:
    for target in _LINK.findall(_prose(page)):
        if not re.match(r"[a-z]+:", target):
            yield target


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _command_lines(page: Path) -> list[str]:
    """What follows `edgetrain` on lines of their own, and in code spans that begin with it."""
    text = page.read_text().replace("\\\n", " ")
    spans = [
        span.strip("`") for span in _SPAN.findall(_FENCE.sub("", text)) if span.startswith("`edgetrain ")
    ]
    return _COMMAND.findall("\n".join([text, *spans]))


def _words(line: str) -> list[str]:
    """The words of a command line, up to a comment or the end of the command."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # prose with an apostrophe
        words = line.split()
    end = next((i for i, word in enumerate(words) if word in _END), len(words))
    return [word.strip("[]") for word in words[:end]]


def _commands() -> dict[str, dict[str, Any]]:
    """Subcommand → its options by flag."""
    group: Any = typer.main.get_command(app)
    return {
        name: {flag: param for param in command.made.params for flag in (*param.opts, *param.secondary_opts)}
        for name, command in group.commands.items()
    }


COMMANDS = _commands()


def _problems(line: str) -> list[str]:
    words = _words(line)
    if not words or words[0] not in COMMANDS:
        known = not words or words[0].startswith("-") or not re.fullmatch(r"[a-z]+", words[0])
        return [] if known else [f"there is no command {words[0]!r}"]
    options = COMMANDS[words[0]]
    problems = []
    for i, word in enumerate(words[1:], start=1):
        flag, _, value = word.partition("=")
        if not re.match(r"--?[a-z]", word) or flag == "--help":
            continue
        if flag not in options:
            problems.append(f"{words[0]} has no flag {flag}")
        elif not options[flag].is_flag and not value and (i + 1 == len(words) or words[i + 1] in options):
            problems.append(f"{flag} needs a value")
    return problems


@name_of
def test_links_lead_somewhere(page: Path) -> None:
    for link in _links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in _anchors(target), f"{page.name} links to {link}; there are {_anchors(target)}"


@pytest.mark.parametrize("page", [*PAGES, *RECIPES], ids=lambda path: path.name)
def test_command_lines_are_accepted(page: Path) -> None:
    problems = [
        f"edgetrain {line}: {problem}" for line in _command_lines(page) for problem in _problems(line)
    ]
    assert not problems, "\n".join(problems)


def test_every_page_is_linked() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in _links(page)
        if (page.parent / link.partition("#")[0]).resolve() != page
    }
    missing = [page.name for page in PAGES if page.parent.name == "docs" and page not in linked]
    assert not missing, f"no other page links to {missing}"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("train --epoch 3", "train has no flag --epoch"),
        ("bench NAME.pte [--step 3]", "bench has no flag --step"),
        ("export model.pth --epochs=1", "export has no flag --epochs"),
        ("train --json --epochs", "--epochs needs a value"),
        ("trian", "there is no command 'trian'"),
    ],
)
def test_mistakes_are_seen(line: str, problem: str) -> None:
    assert _problems(line) == [problem]


@pytest.mark.parametrize(
    "line",
    [
        "train --set train.epochs=7 --no-augment   # a comment --nonsense",
        "train --json | jq --raw .val_accuracy",
        "export   model.pth           [-o DIR/NAME]        → NAME.pte",
        "--help",
        "COMMAND --help",
    ],
)
def test_good_lines_pass(line: str) -> None:
    assert _problems(line) == []


def test_command_lines_are_found() -> None:
    found = {words[0] for page in PAGES for line in _command_lines(page) if (words := _words(line))}
    assert set(COMMANDS) <= found
