"""The site of the docs has every page, and each command's options."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from edgetrain.cli.app import COMMANDS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_of_the_docs", ROOT / "docs" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(site: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "docs"
    site.make_pages(folder)
    return folder


def test_navigation_has_every_page_once(pages: Path) -> None:
    configuration = (ROOT / "mkdocs.yml").read_text()
    named = re.findall(r"([\w-]+\.md)$", configuration.partition("\nnav:")[2], flags=re.MULTILINE)
    assert sorted(named) == sorted(path.name for path in pages.glob("*.md"))


def test_links_lead_to_files_of_the_site(site: ModuleType, pages: Path) -> None:
    followed = 0
    for page in pages.glob("*.md"):
        for part in site._FENCE.split(page.read_text())[::2]:
            for _, link in site._LINK.findall(re.sub(r"`[^`\n]+`", "", part)):
                name = link.partition("#")[0]
                if name and not re.match(r"[a-z]+:", name):
                    assert (page.parent / name).is_file(), f"{page.name} links to {link}"
                    followed += 1
    assert followed > 100


@pytest.mark.parametrize("command", [subcommand.name for subcommand in COMMANDS])
def test_each_command_has_a_page_with_its_options(pages: Path, command: str) -> None:
    text = (pages / f"{command}.md").read_text()
    assert f"edgetrain {command} [OPTIONS]" in text
    assert "| `--json` | print the result as one JSON document |" in text


def test_options_are_readable(site: ModuleType) -> None:
    text = site.options_of("train")
    assert "| `--lr FLOAT` | " in text
    assert "[default: 0.01] |" in text
    assert "| `--augment, --no-augment` |" in text
    assert "[/dim]" not in text
    assert "`--optimizer [sgd\\|adam\\|adamw]`" in text
