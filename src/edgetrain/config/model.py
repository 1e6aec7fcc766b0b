"""Which model is trained, for which task, and by which loss."""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import field_validator, model_validator

from ..factories import is_factory
from .base import Section, setting
from .names import IGNORED_PIXEL, IGNORED_TOKEN, LOSSES, TASKS

_TASK_NAMES = ("auto", *TASKS)


class ModelConfig(Section):
    """A model by name. `num_classes` and the input size are filled in from the data where not given."""

    name: str = setting(
        "digits_cnn",
        "digits_cnn, cifar_cnn, xor_mlp, mlp, cnn1d, text_transformer, torchvision:NAME or "
        "package.module:factory",
        flag="--model",
    )
    args: dict[str, Any] = setting({}, "arguments of the model, as in num_classes=10", flag="--model-arg")


class TaskConfig(Section):
    """What is learned."""

    name: Literal[_TASK_NAMES] = setting(  # type: ignore[valid-type]
        "auto", "what the model learns; auto: what data and loss say", flag="--task"
    )


class LossConfig(Section):
    """What is minimised."""

    name: str = setting(
        LOSSES[0],
        f"loss function: {', '.join(LOSSES)}, or package.module:factory for a module of (outputs, targets)",
        flag="--loss",
    )
    label_smoothing: float = setting(
        0.0,
        f"share of the target spread over all classes ({LOSSES[0]} only)",
        ge=0,
        lt=1,
        flag="--label-smoothing",
    )
    ignore_index: int | None = setting(
        None,
        f"class of pixels or tokens that count for nothing; default: {IGNORED_PIXEL} for pixels, "
        f"{IGNORED_TOKEN} for tokens",
        flag="--ignore-index",
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in LOSSES and not is_factory(value):
            near = difflib.get_close_matches(value, LOSSES, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(
                f"must be one of {', '.join(LOSSES)} or package.module:factory (got {value!r}){hint}"
            )
        return value

    @model_validator(mode="after")
    def _smoothing_needs_classes(self) -> LossConfig:
        if self.label_smoothing and self.name != LOSSES[0]:
            raise ValueError(f"label_smoothing needs the loss {LOSSES[0]}")
        return self
