"""What was done to a model's layers before it was exported, as plain data that can be done again."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SplitOutputs(_Frozen):
    """A layer was split in two along its output channels: `module.trained` with the first `channels` of them,
    and `module.frozen` with the others."""

    kind: Literal["split_outputs"] = "split_outputs"
    module: str
    channels: int = Field(ge=1)


class Lora(_Frozen):
    """A linear layer got an adapter: `module.lora_a` [rank, inputs] and `module.lora_b` [outputs, rank].

    Their product B A, times alpha / rank, is added to its weight.
    """

    kind: Literal["lora"] = "lora"
    module: str
    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)


Transform = Annotated[SplitOutputs | Lora, Field(discriminator="kind")]
