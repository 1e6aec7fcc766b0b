"""Which model is trained, and by which loss."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from .base import Section, setting


class ModelConfig(Section):
    """A model by name. `num_classes` and the input size are filled in from the data where not given."""

    name: str = setting(
        "digits_cnn",
        "digits_cnn, cifar_cnn, xor_mlp, mlp, cnn1d, torchvision:NAME or package.module:factory",
        flag="--model",
    )
    args: dict[str, Any] = setting({}, "arguments of the model, as in num_classes=10", flag="--model-arg")


class LossConfig(Section):
    """What is minimised."""

    name: Literal["cross_entropy", "mse", "l1", "bce_with_logits"] = setting(
        "cross_entropy", "loss function", flag="--loss"
    )
    label_smoothing: float = setting(
        0.0,
        "share of the target spread over all classes (cross_entropy only)",
        ge=0,
        lt=1,
        flag="--label-smoothing",
    )

    @model_validator(mode="after")
    def _smoothing_needs_classes(self) -> LossConfig:
        if self.label_smoothing and self.name != "cross_entropy":
            raise ValueError("label_smoothing needs the loss cross_entropy")
        return self
