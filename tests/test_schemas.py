"""The JSON Schemas in docs/schema are the models', and accept what edgetrain writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgetrain.schemas import FOLDER, make_schemas

CONFIGS = sorted((Path(__file__).parents[1] / "configs").glob("*.yaml"))


def test_the_files_are_current() -> None:
    made = make_schemas()
    assert {path.name for path in FOLDER.glob("*.json")} == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text() == text, "run: python -m edgetrain.schemas"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_editors_find_the_schema_of_the_recipes(path: Path) -> None:
    prefix = "# yaml-language-server: $schema="
    (line,) = (line for line in path.read_text().splitlines() if line.startswith(prefix))
    assert (path.parent / line.removeprefix(prefix)).resolve() == (FOLDER / "configuration.json").resolve()


def test_keys_and_bounds_of_the_configuration() -> None:
    schema = json.loads((FOLDER / "configuration.json").read_text())
    reference = schema["properties"]["optimizer"]["anyOf"][0]["$ref"].rpartition("/")[2]
    optimizer = schema["$defs"][reference]
    assert optimizer["additionalProperties"] is False
    assert optimizer["properties"]["momentum"]["exclusiveMaximum"] == 1
    assert optimizer["properties"]["name"]["enum"] == ["sgd", "adam", "adamw"]
    assert optimizer["properties"]["lr"]["description"]
