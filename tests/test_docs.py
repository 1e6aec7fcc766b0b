"""The docs as a reader uses them: links lead somewhere, command lines have flags that exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from edgetrain.cli.app import app
from edgetrain.config.loader import load_config
from edgetrain.config.options import given_values
from edgetrain.config.stages import COMMANDS as CONFIGURED
from edgetrain.errors import ConfigError
from edgetrain.runner import find_runner, require_runner, runner_environment

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
_RUNNER = re.compile(r"^[#$ ]*edgetrain-runner (?! )(.+)$", re.MULTILINE)
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


GROUP: Any = typer.main.get_command(app)
COMMANDS = set(GROUP.commands)


def _problems(line: str) -> list[str]:
    """What the program itself would say to this command line before it does anything. Words in capitals stand
    for values of any kind."""
    words = [word.removesuffix("...") for word in _words(line) if word not in ("...", "…")]
    if not words or words[0] not in COMMANDS:
        known = not words or words[0].startswith("-") or not re.fullmatch(r"[a-z][a-z-]*", words[0])
        return [] if known else [f"there is no command {words[0]!r}"]
    name, arguments = words[0], words[1:]
    if "--help" in arguments:
        return []
    try:
        given = GROUP.commands[name].made.make_context(name, [*arguments]).params
        stands_for = any(re.fullmatch(r"[A-Z]+(=[A-Z]+)?", word) for word in arguments)
        if name in CONFIGURED and not stands_for:
            file = given["config"]
            file = ROOT / file if file and (ROOT / file).is_file() else None
            load_config(name, file=file, overrides=given["overrides"], flags=given_values(name, given))
    except ConfigError as error:
        return list(error.problems)
    except Exception as error:
        said = error.format_message() if hasattr(error, "format_message") else str(error)
        # Prose leaves arguments out.
        return [] if said.startswith("Missing argument") else [said]
    return []


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
    """By the parser and the configuration's models; or refused in the words that the page shows."""
    text = page.read_text()
    problems = [
        f"edgetrain {line}: {problem}"
        for line in _command_lines(page)
        for problem in _problems(line)
        if problem not in text
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.skipif(find_runner() is None, reason="the runner is not installed")
def test_the_runners_command_lines_are_accepted() -> None:
    known: dict[str, set[str]] = {}
    problems = []
    lines = [
        (page.name, words)
        for page in PAGES
        for line in _RUNNER.findall(page.read_text().replace("\\\n", " "))
        if (words := _words(line)) and words[0].islower()
    ]
    assert len(lines) > 8
    for page, words in lines:
        if words[0] not in known:
            command = [str(require_runner()), words[0], "--help"]
            said = subprocess.run(command, capture_output=True, text=True, env=runner_environment())
            known[words[0]] = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", said.stdout + said.stderr))
        flags = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
        problems += [
            f"{page}: {words[0]} has no flag {flag}" for flag in flags - known[words[0]] - {"--help"}
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
        ("train --epoch 3", "No such option: --epoch"),
        ("bench NAME.pte [--step 3]", "No such option: --step"),
        ("export model.pth --epochs=1", "No such option: --epochs"),
        ("train --json --epochs", "Option '--epochs' requires an argument"),
        ("train --epochs=many", "train.epochs: must be a whole number"),
        ("train --optimizer sdg", "optimizer.name: must be one of sgd, adam, adamw"),
        ("doctor a.pth", "Got unexpected extra argument"),
        ("trian", "there is no command 'trian'"),
    ],
)
def test_mistakes_are_seen(line: str, problem: str) -> None:
    (found,) = _problems(line)
    assert found.startswith(problem)


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
