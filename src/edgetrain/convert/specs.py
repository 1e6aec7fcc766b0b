"""What a model takes, in any dtype: programs for inference take more than those that train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ..artifacts.specs import InputSpec, Preprocessing
from ..errors import InputError

_TRAINED = ("float32", "int64")


@dataclass(frozen=True)
class ModelInput:
    """One input, without batch.

    Attributes:
        dtype: as PyTorch calls it.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    @property
    def torch_dtype(self) -> torch.dtype:
        """The dtype of its tensors."""
        found = getattr(torch, self.dtype)
        assert isinstance(found, torch.dtype)
        return found


def parse_input(text: str) -> tuple[str | None, ModelInput]:
    """Name and shape of `mask=16:bool`, a form that the configuration has checked; None without a name."""
    name, _, shape = text.rpartition("=")
    lengths, _, dtype = shape.partition(":")
    return name or None, ModelInput(tuple(int(n) for n in lengths.split(",")), dtype or "float32")


def model_inputs(specs: Mapping[str, InputSpec]) -> dict[str, ModelInput]:
    """What a checkpoint says of its inputs."""
    return {name: ModelInput(spec.shape, spec.dtype, spec.preprocessing) for name, spec in specs.items()}


def trained_inputs(inputs: Mapping[str, ModelInput], origin: str) -> dict[str, InputSpec]:
    """The same for a checkpoint or a manifest.

    Raises:
        InputError: programs that train take no such dtype.
    """
    for name, taken in inputs.items():
        if taken.dtype not in _TRAINED:
            raise InputError(
                f"{origin} takes {taken.dtype} ({name}), and what is trained takes {' or '.join(_TRAINED)}; "
                "convert it with --to pte, or wrap it in a model that converts its input"
            )
    return {
        name: InputSpec.model_validate(
            {"shape": taken.shape, "dtype": taken.dtype, "preprocessing": taken.preprocessing}
        )
        for name, taken in inputs.items()
    }
