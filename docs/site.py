"""The pages of the docs' site, put together in build/docs: `python docs/site.py` (`make docs` builds it all).

The pages of docs/ as they are, README and others from outside, each command's page with all its options below
it, and the files that pages link to. Links follow.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import typer.main

from edgetrain.cli.app import COMMANDS, app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TARGET = ROOT / "build" / "docs"
ELSEWHERE = {
    ROOT / "README.md": "index.md",
    ROOT / "CONTRIBUTING.md": "contributing.md",
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "native" / "README.md": "native.md",
}
_FENCE = re.compile(r"(^ *```.*?^ *```)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s]+)\)")


def make_pages(target: Path = TARGET) -> None:
    """Fills the folder anew."""
    shutil.rmtree(target, ignore_errors=True)
    pages = {path: path.name for path in DOCS.glob("*.md")} | ELSEWHERE
    commands = {f"{subcommand.name}.md": subcommand.name for subcommand in COMMANDS}
    target.mkdir(parents=True)
    for path, name in pages.items():
        text = path.read_text()
        if path.parent == DOCS and name in commands:
            text = f"{text.rstrip()}\n\n{options_of(commands[name])}"
        (target / name).write_text(_with_links(text, path, pages, target))


def options_of(command: str) -> str:
    """All options of a command, as `--help` has them, as Markdown."""
    group: Any = typer.main.get_command(app)
    made = group.commands[command].made
    usage, tables = f"edgetrain {command} [OPTIONS]", {}
    for parameter in made.params:
        if parameter.param_type_name == "argument":
            usage += f" {parameter.metavar}" if parameter.required else f" [{parameter.metavar}]"
            panel, name = "Arguments", parameter.metavar
        else:
            panel = parameter.rich_help_panel or "Options"
            value = "" if parameter.is_flag else f" {parameter.metavar}"
            name = ", ".join([*parameter.opts, *parameter.secondary_opts]) + value
        tables.setdefault(panel, []).append(f"| `{_cell(name)}` | {_cell(_plain(parameter.help or ''))} |\n")
    text = f"## All options of `{command}`\n\n```\n{usage}\n```\n"
    for panel, rows in tables.items():
        text += f"\n**{panel}**\n\n| | |\n|---|---|\n" + "".join(rows)
    return text


def _plain(text: str) -> str:
    """Help without the markup of the terminal."""
    return re.sub(r"(?<!\\)\[/?dim\]", "", text).replace("\\[", "[")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _with_links(text: str, page: Path, pages: dict[Path, str], target: Path) -> str:
    """The page's text with the links of its new place, where copies of the files that it links to are put."""

    def moved(match: re.Match[str]) -> str:
        label, link = match.groups()
        name, hash_mark, anchor = link.partition("#")
        if not name or re.match(r"[a-z]+:", link):
            return match.group()
        path = (page.parent / name).resolve()
        if path.is_dir():
            return label.strip("[]")
        place = pages.get(path) or os.path.relpath(path, DOCS if path.is_relative_to(DOCS) else ROOT)
        if path not in pages:
            copy = target / place
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
        return f"{label}({place}{hash_mark}{anchor})"

    parts = _FENCE.split(text)
    return "".join(part if i % 2 else _LINK.sub(moved, part) for i, part in enumerate(parts))


if __name__ == "__main__":
    make_pages()
