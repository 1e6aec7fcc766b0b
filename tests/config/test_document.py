"""docs/configuration.md has the keys of the models, with flags, values and defaults."""

from __future__ import annotations

import re

import pytest

from edgetrain.config.document import PAGE, rewritten
from edgetrain.config.options import flags_of
from edgetrain.config.stages import COMMANDS, SECTIONS

KEY = re.compile(r"^\| `([a-z_]+\.[a-z0-9_]+)` \|", re.MULTILINE)


def test_the_page_is_current() -> None:
    page = PAGE.read_text()
    assert rewritten(page) == page, "run: python -m edgetrain.config.document"


def test_every_key_has_one_row() -> None:
    listed = KEY.findall(PAGE.read_text())
    assert len(listed) == len(set(listed))
    assert set(listed) == {flag.key for command in COMMANDS for flag in flags_of(command)}


def test_other_names_of_a_key_and_choices_are_there() -> None:
    rows = {line.split("`")[1]: line for line in PAGE.read_text().splitlines() if KEY.match(line)}
    assert "`--epochs` (optimize: `--train-epochs`)" in rows["train.epochs"]
    assert "| `--augment` / `--no-augment` | on, off | on |" in rows["data.augment"]
    assert "`sgd`, `adam`, `adamw`" in rows["optimizer.name"]


def test_a_row_that_is_wrong_or_missing_is_written_anew() -> None:
    page = PAGE.read_text()
    rows = [line for line in page.splitlines(keepends=True) if line.startswith("| `optimizer.")]
    assert rewritten(page.replace(rows[0], "").replace(rows[1], rows[1].replace("--", "--x"))) == page


def test_a_new_section_gets_a_heading() -> None:
    page = PAGE.read_text()
    name = list(SECTIONS)[-1]
    without = re.sub(rf"^### `{name}`\n.*?(?=^### |\Z)", "", page, flags=re.DOTALL | re.MULTILINE)
    assert f"### `{name}`" not in without
    assert set(KEY.findall(rewritten(without))) == set(KEY.findall(page))


def test_a_heading_without_a_table_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="### `data`"):
        rewritten("\n### `loss`\n\nWords.\n\n### `data`\n")
