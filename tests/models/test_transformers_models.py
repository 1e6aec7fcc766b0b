"""Models of the optional library transformers, by class and configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from edgetrain.config.model import ModelConfig
from edgetrain.errors import InputError, UsageError
from edgetrain.models import build_model, is_custom
from edgetrain.models.transformers_models import architecture_in, fill_transformers, with_folder_config
from edgetrain.vision import make_torchvision_importable

NAME = "transformers:BertForSequenceClassification"
CONFIG = {
    "model_type": "bert", "architectures": ["BertForSequenceClassification"], "hidden_size": 16,
    "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 30,
    "max_position_embeddings": 16,
}  # fmt: skip


def test_the_configuration_beside_the_weights(tmp_path: Path) -> None:
    assert not is_custom(NAME)
    assert with_folder_config("mlp", {"width": 3}, tmp_path) == {"width": 3}
    assert architecture_in(tmp_path) is None
    with pytest.raises(UsageError, match=r"needs its configuration: put its config\.json into"):
        with_folder_config(NAME, {}, tmp_path)
    for text in ("[", "[]", '{"architectures": "../x"}'):
        (tmp_path / "config.json").write_text(text)
        assert architecture_in(tmp_path) is None
        with pytest.raises(InputError, match="is no configuration of a model"):
            with_folder_config(NAME, {}, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert architecture_in(tmp_path) == NAME
    assert with_folder_config(NAME, {}, tmp_path) == {"config": CONFIG}
    with pytest.raises(UsageError, match="takes one argument, config"):
        build_model(ModelConfig(name=NAME))


def test_models_of_the_library() -> None:
    make_torchvision_importable()
    pytest.importorskip("transformers")
    model = build_model(ModelConfig(name=NAME, args={"config": CONFIG})).eval()
    other = build_model(ModelConfig(name=NAME, args={"config": CONFIG})).eval()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in model.state_dict().items()
    }
    assert fill_transformers(other, {**old, "more": torch.ones(1)}) == ([], ["more"], [])
    ids = torch.arange(8)[None]
    with torch.no_grad():
        assert torch.equal(other(ids).logits, model(ids).logits)
    with pytest.raises(UsageError, match="has no model class BertTokenizer"):
        build_model(ModelConfig(name="transformers:BertTokenizer", args={"config": CONFIG}))
