"""The tables of docs/configuration.md, written from the models: `python -m edgetrain.config.document`.

Each heading of a section keeps the words below it; the table that follows is written anew. A new section gets
its heading and its model's docstring at the end of the page.
"""

from __future__ import annotations

import re
from pathlib import Path

from .options import Flag, flags_of
from .stages import COMMANDS, SECTIONS

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
_HEAD = "| key | flag | values | default | meaning |\n|---|---|---|---|---|\n"


def rewritten(page: str) -> str:
    """The page with its tables as the models are now.

    Raises:
        ValueError: a section's heading has no table below it.
    """
    for section, model in SECTIONS.items():
        if f"\n### `{section}`\n" not in page:
            page += f"\n### `{section}`\n\n{(model.__doc__ or '').strip()}\n\n{_HEAD}"
        place = re.compile(rf"^(### `{section}`\n.*?)^\| key \|.*?(?=^[^|]|\Z)", re.DOTALL | re.MULTILINE)
        found = place.search(page)
        if found is None or "\n### " in found.group(1):
            raise ValueError(f"'### `{section}`' in {PAGE.name} has no table below it")
        page = page[: found.start()] + found.group(1) + _table(section) + page[found.end() :]
    return page


def _table(section: str) -> str:
    keys: dict[str, dict[str, Flag]] = {}
    for command in COMMANDS:
        for flag in flags_of(command):
            if flag.path[0] == section:
                keys.setdefault(flag.key, {})[command] = flag
    return _HEAD + "".join(_row(by_command.get(section), by_command) for by_command in keys.values())


def _row(own: Flag | None, by_command: dict[str, Flag]) -> str:
    """A key as the command of its section shows it, or the first that has it; with its names elsewhere."""
    flag = own or next(iter(by_command.values()))
    names = " / ".join(f"`{name}`" for name in flag.names)
    for command, other in by_command.items():
        if other.names != flag.names:
            names += f" ({command}: `{other.names[0]}`)"
    repeated = {
        "list": ", repeatable, or with commas" if flag.commas else ", repeatable",
        "mapping": ", repeatable",
    }
    if flag.kind == "switch":
        values, default = (
            "on, off",
            ("off" if flag.default.startswith("no-") else "on") if flag.default else "",
        )
    else:
        listed = ", ".join(f"`{choice}`" for choice in flag.choices) if flag.choices else flag.metavar
        values, default = listed + repeated.get(flag.kind, ""), f"`{flag.default}`" if flag.default else ""
    # `--help` lists many choices behind the text; here they have a column.
    text = flag.help.removesuffix(f": {', '.join(map(str, flag.choices))}").replace("|", "\\|")
    return f"| `{flag.key}` | {names} | {values} | {default} | {text} |\n"


def write_page() -> None:
    """Brings the page up to date."""
    PAGE.write_text(rewritten(PAGE.read_text()))


if __name__ == "__main__":
    write_page()
