"""JSON Schemas of the files people and programs write and read: `python -m edgetrain.schemas`.

Editors complete and check `configs/*.yaml` by `configuration.json`. The tables of docs/configuration.md are
written as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

FOLDER = Path(__file__).parents[2] / "docs" / "schema"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def make_schemas() -> dict[str, str]:
    """The schemas' texts by file name."""
    from .artifacts.history import History
    from .artifacts.job import Job
    from .artifacts.manifest import Manifest
    from .artifacts.packed import PackedDataset
    from .bench.report import BenchReport
    from .checking.report import CheckReport
    from .config.update_rules import UpdateRules

    files: dict[str, type[BaseModel]] = {
        "manifest": Manifest,
        "history": History,
        "job": Job,
        "bench": BenchReport,
        "check": CheckReport,
        "packed-data": PackedDataset,
        "update-rules": UpdateRules,
    }
    schemas = {"configuration": _configuration()}
    schemas |= {name: model.model_json_schema() for name, model in files.items()}
    return {
        f"{name}.json": json.dumps({"$schema": _DIALECT, **schema}, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


def _configuration() -> dict[str, Any]:
    """A YAML file with the sections of any commands."""
    from .config.stages import SECTIONS

    references, definitions = models_json_schema([(model, "validation") for model in SECTIONS.values()])
    return {
        "title": "edgetrain configuration",
        "type": "object",
        "properties": {
            # `train:` with nothing below it is fine.
            name: {"anyOf": [references[model, "validation"], {"type": "null"}]}
            for name, model in SECTIONS.items()
        },
        "additionalProperties": False,
        **definitions,
    }


if __name__ == "__main__":
    from .config.document import write_page

    FOLDER.mkdir(exist_ok=True)
    for name, text in make_schemas().items():
        (FOLDER / name).write_text(text)
    write_page()
