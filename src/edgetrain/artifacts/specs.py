"""What a model takes, and what it is trained to do; stored in checkpoints and manifests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import torch

# What the tensor of a sample is called where there is only one and nobody named it.
INPUTS, TARGETS = "inputs", "targets"

Length = Annotated[int, Field(ge=1, le=2**20)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorSpec(_Frozen):
    """Shape without the batch dimension, and dtype, of one tensor of a sample."""

    shape: tuple[Length, ...] = Field(max_length=8)
    dtype: Literal["float32", "int64"] = "float32"


def parse_spec(text: str) -> TensorSpec:
    """`3,32,32` or `16:int64`, a form that the configuration has checked, as a spec."""
    lengths, _, dtype = text.partition(":")
    return TensorSpec.model_validate(
        {"shape": [int(length) for length in lengths.split(",")], "dtype": dtype or "float32"}
    )


class Preprocessing(_Frozen):
    """From a stored sample to the model's input: `(x * scale - mean) / std`, per channel.

    `mean` and `std` hold one number per channel (dimension 0 of a sample), or a single one for all.
    """

    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @model_validator(mode="after")
    def _usable(self) -> Preprocessing:
        numbers = (self.scale, *self.mean, *self.std)
        if len(self.mean) != len(self.std) or not self.mean:
            raise ValueError("mean and std must have the same length, at least 1")
        if not all(math.isfinite(x) for x in numbers) or min(self.std) <= 0:
            raise ValueError("scale and mean must be finite, std greater than 0")
        return self

    def apply(self, inputs: torch.Tensor) -> torch.Tensor:
        """Prepares a batch.

        Args:
            inputs: [B, C, ...] or [B, C], uint8 or float32 as stored.
        Returns:
            float32 tensor of the same shape; integer ids (int64) are returned as they are.
        """
        import torch

        if inputs.dtype == torch.int64:
            return inputs
        x = inputs.to(torch.float32)
        if self.scale != 1.0:
            x = x * self.scale
        if any(self.mean) or any(s != 1.0 for s in self.std):
            view = (1, len(self.mean)) + (1,) * (x.dim() - 2)
            x = (x - torch.tensor(self.mean).view(view)) / torch.tensor(self.std).view(view)
        return x


class InputSpec(TensorSpec):
    """One input of a model, once preprocessed."""

    preprocessing: Preprocessing = Preprocessing()


class TaskSpec(_Frozen):
    """What a model is trained to do. `tasks` knows what the names mean.

    Attributes:
        name: the task; `custom` where the loss is the user's own.
        loss: name of the loss, or `package.module:factory`.
        ignore_index: class of targets that count for nothing.
        classes: names by label, where there are classes.
    """

    name: str
    loss: str
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    ignore_index: int | None = None
    classes: tuple[str, ...] | None = None


def channels_first_advice(shape: tuple[int, ...]) -> str:
    """What to do about a sample that seems to be an image [H, W, C]; empty where it seems to be none."""
    if len(shape) != 3 or shape[2] not in (1, 3, 4) or min(shape[:2]) <= shape[2]:
        return ""
    return "they seem to have their channels last: save array.transpose(0, 3, 1, 2), [N, C, H, W]"
