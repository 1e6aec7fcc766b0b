"""Every file in configs/ opens with commands that run it, and has no key that they don't know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgetrain.config.loader import load_config

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_its_commands_read_it(path: Path) -> None:
    header = re.match(r"(#.*\n)+", path.read_text())
    assert header is not None
    commands = re.findall(rf"edgetrain (\w+) .*--config configs/{path.name}", header[0])
    assert commands
    for command in commands:
        load_config(command, file=path)
