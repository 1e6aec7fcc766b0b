"""What a reader makes of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..artifacts.specs import InputSpec, TaskSpec, TensorSpec
from ..artifacts.transforms import Transform
from ..config.model import ModelConfig

Runnable = Callable[..., Any]


@dataclass(frozen=True)
class Captured:
    """A module that can be exported again.

    Attributes:
        batch: the only batch size it takes; None where any will do.
    """

    module: nn.Module
    batch: int | None = None


@dataclass
class Source:
    """A model as it was found.

    Attributes:
        format: for people, as in "TorchScript (mobile)".
        reference: the model as the file has it, in evaluation mode: what the result is compared with.
        capture: example batch → the same as a module to export; None where `reference` is one. A graph where
            `model` is None.
        state: its parameters and buffers by name.
        inputs: what it takes, by name, where that is known.
        batch: the only batch size it takes; None where any will do, or it isn't known.
        model: how to build it again; None where only the file knows (`targets/rebuilding.py`).
        transforms: what was done to the model since.
        checkpoint: its file, where that is a checkpoint of edgetrain.
        task, targets, metrics, config: as in such a checkpoint.
        notes: what the user should know about the file.
    """

    format: str
    reference: Runnable
    state: dict[str, Tensor]
    capture: Callable[[Sequence[Tensor]], Captured] | None = None
    inputs: dict[str, InputSpec] | None = None
    batch: int | None = None
    model: ModelConfig | None = None
    checkpoint: Path | None = None
    task: TaskSpec | None = None
    targets: dict[str, TensorSpec] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    transforms: tuple[Transform, ...] = ()

    def captured(self, example: Sequence[Tensor]) -> Captured:
        """The module to export."""
        if self.capture is not None:
            return self.capture(example)
        assert isinstance(self.reference, nn.Module)
        return Captured(self.reference, self.batch)
