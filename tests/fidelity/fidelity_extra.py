"""Models of timm and transformers, with random weights; neither is needed, nor installed by default."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

_WIDTHS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}


def timm_model(name: str, num_classes: int = 10, **settings: Any) -> nn.Module:
    import timm

    return timm.create_model(name, num_classes=num_classes, **settings)


class Logits(nn.Module):
    """The logits alone of what a model of transformers returns."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).logits


def transformers_model(name: str, num_classes: int = 10) -> nn.Module:
    """bert, distilbert, vit or gpt2, of two layers."""
    import transformers

    if name == "bert":
        config = transformers.BertConfig(vocab_size=64, num_labels=num_classes, **_WIDTHS)
        return Logits(transformers.BertForSequenceClassification(config))
    if name == "distilbert":
        config = transformers.DistilBertConfig(
            vocab_size=64, dim=32, n_layers=2, n_heads=4, hidden_dim=64, num_labels=num_classes
        )
        return Logits(transformers.DistilBertForSequenceClassification(config))
    if name == "vit":
        config = transformers.ViTConfig(image_size=32, patch_size=8, num_labels=num_classes, **_WIDTHS)
        return Logits(transformers.ViTForImageClassification(config))
    config = transformers.GPT2Config(vocab_size=num_classes, n_embd=32, n_layer=2, n_head=4, n_positions=32)
    config.use_cache = False
    return Logits(transformers.GPT2LMHeadModel(config))
