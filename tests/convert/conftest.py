"""Model files of every kind, each written once per session, and conversions in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Also for the models that checkpoints name, and for pickles.
sys.path.insert(0, str(Path(__file__).parent))

import convert_models

from edgetrain.config.stages import ConvertCommand
from edgetrain.convert.conversion import convert_file
from edgetrain.convert.kinds import identify
from edgetrain.convert.report import FileReport
from edgetrain.convert.shapes import shape_text
from edgetrain.engine.threads import one_thread

Convert = Callable[..., FileReport]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """`model_file("traced", "Images")`: a file that must not be changed."""
    folder = tmp_path_factory.mktemp("models")
    written: dict[tuple[str, str], Path] = {}

    def get(kind: str, name: str) -> Path:
        if (kind, name) not in written:
            written[kind, name] = convert_models.write(kind, name, folder)
        return written[kind, name]

    return get


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
    """`convert(path, to="pth", ...)`: converts a file into `tmp_path/out`."""

    def run(
        path: Path,
        *,
        export: dict[str, Any] | None = None,
        loss: dict[str, Any] | None = None,
        **settings: Any,
    ) -> FileReport:
        sections = {"convert": settings, "export": export or {}, "loss": loss or {}}
        config = ConvertCommand.model_validate(sections)
        return convert_file(config, identify(path), tmp_path / "out")

    return run


@pytest.fixture
def convert_model(convert: Convert, model_file: Callable[[str, str], Path]) -> Convert:
    """`convert_model("traced", "Images", ...)`: the same with a model of `convert_models`."""

    def run(kind: str, name: str, **settings: Any) -> FileReport:
        shape = {"input_shape": [shape_text(convert_models.MODELS[name][1])]}
        flags = convert_models.model_flags(kind, name)
        return convert(model_file(kind, name), **{**shape, **flags, **settings})

    return run
