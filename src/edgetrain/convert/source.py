"""What a reader makes of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..artifacts.specs import TaskSpec, TensorSpec
from ..artifacts.transforms import Transform
from ..config.model import ModelConfig
from .calling import Called
from .specs import ModelInput

Runnable = Callable[..., Any]


@dataclass(frozen=True)
class Captured:
    """A module that can be exported again.

    Attributes:
        batch: the only batch size it takes; None where any will do.
    """

    module: nn.Module
    batch: int | None = None


Capture = Callable[[Sequence[Tensor], Runnable], Captured]


@dataclass
class Source:
    """A model as it was found.

    Attributes:
        format: for people, as in "TorchScript (mobile)".
        reference: the model as the file has it, in evaluation mode: what the result is compared with.
        capture: example batch and a function of it, the model or what calls it → the same as a module to
            export; None where `reference` is one. A graph where `model` is None.
        state: its parameters and buffers by name.
        inputs: what it takes, by name, where that is known.
        batch: the only batch size it takes; None where any will do, or it isn't known.
        model: how to build it again; None where only the file knows (`targets/rebuilding.py`).
        transforms: what was done to the model since.
        called: how `reference` has to be called, where it isn't as it is found.
        checkpoint: its file, where that is a checkpoint of edgetrain.
        task, targets, metrics, config: as in such a checkpoint.
        notes: what the user should know about the file.
    """

    format: str
    reference: Runnable
    state: dict[str, Tensor]
    capture: Capture | None = None
    inputs: dict[str, ModelInput] | None = None
    batch: int | None = None
    model: ModelConfig | None = None
    called: Called | None = None
    checkpoint: Path | None = None
    task: TaskSpec | None = None
    targets: dict[str, TensorSpec] | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    transforms: tuple[Transform, ...] = ()

    @property
    def run(self) -> Runnable:
        """The model as a function of one tensor for each input."""
        return self.reference if self.called is None else self.called

    def captured(self, example: Sequence[Tensor]) -> Captured:
        """The module to export, which a training program calls by itself."""
        if self.capture is not None:
            return self._captured_by(self.capture, example)
        assert isinstance(self.reference, nn.Module)
        return Captured(self.reference, self.batch)

    def captured_for_inference(self, example: Sequence[Tensor]) -> Captured:
        """The same as a function of one tensor for each input, without a batch where the model takes none."""
        run = self.run
        if isinstance(run, Called) and not run.manner.batched:
            run = Called(run.model, replace(run.manner, batched=True), fixed=True)
            example = [tensor[0] for tensor in example]
            captured = Captured(run) if self.capture is None else self.capture(example, run)
            return replace(captured, batch=1)
        if self.capture is not None:
            return self._captured_by(self.capture, example)
        assert isinstance(run, nn.Module)
        return Captured(run, self.batch)

    def _captured_by(self, capture: Capture, example: Sequence[Tensor]) -> Captured:
        """For any batch, or else for the one that the source takes: where it takes several, but becomes a
        constant in each capture, single samples are what programs are called with."""
        captured = capture(example, self.run)
        if self.batch is None and captured.batch not in (None, 1):
            captured = capture([tensor[:1] for tensor in example], self.run)
        return captured
