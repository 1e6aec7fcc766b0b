"""Names of models, without loading them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetrain.config.model_names import check_model_name, known_models
from edgetrain.config.names import MODELS
from edgetrain.errors import UsageError
from edgetrain.models.registry import BUILTINS


def test_the_built_in_models() -> None:
    assert tuple(BUILTINS) == MODELS
    assert {*MODELS, "torchvision:resnet18", "torchvision:fcn_resnet50"} <= set(known_models())


@pytest.mark.parametrize("name", ["mlp", "torchvision:resnet18", "transformers:BertModel", "json:loads"])
def test_what_may_be_a_model(name: str) -> None:
    check_model_name(name)


def test_modules_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_of_test.py").write_text("raise RuntimeError('imported')")
    check_model_name("model_of_test:Net")
    with pytest.raises(UsageError, match="write model_of_test:Net"):
        check_model_name("model_of_test.py:Net")
    with pytest.raises(UsageError, match="No module named 'model_of_tests'"):
        check_model_name("model_of_tests.inner:Net")
