"""The steps of `DeviceSteps` in the native runner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..artifacts.contract import BATCH
from ..artifacts.manifest import manifest_path, save_manifest
from ..artifacts.program import Program
from ..artifacts.specs import InputSpec
from ..artifacts.temporary import scratch_folder
from ..artifacts.tensors import read_tensors, write_tensors
from ..artifacts.without_dropout import save_without_dropout
from ..config.optimizer import OptimizerConfig
from .base import Tensors
from .native import NativeProcess, optimizer_flags
from .steps import Steps

_WHAT = "comparing the native runner"


@dataclass(frozen=True)
class NativeSteps:
    """Runs a program natively, without dropout, from its own weights each time. Inputs are as the model takes
    them."""

    program: Program

    def stock_operators(self) -> list[str]:
        """Operators, as in aten::mm.out, that run on ExecuTorch's kernels for some of their calls."""
        with NativeProcess(["info", *self._files(self.program.path)], what=_WHAT) as process:
            return list(process.answer()["stock_kernels"])

    def run(self, inputs: Tensors, targets: Tensors, steps: int, optimizer: OptimizerConfig) -> Steps:
        """`steps` steps on one batch.

        Raises:
            EdgetrainError: the runner is not installed, refuses something, or crashed.
        """
        found = Steps()
        with scratch_folder() as folder:
            place = folder / self.program.path.name
            self._copy(place)
            batch, tuned = folder / "batch.ptd", folder / "tuned.ptd"
            write_tensors(batch, {**inputs, **targets})
            size = len(next(iter(inputs.values())))
            data: list[str | Path] = ["--data", batch, "--batch-size", str(size)]
            files, flags = self._files(place), optimizer_flags(optimizer)
            self._note_gradients(found, ["bench", *files, *data, *flags], folder / "gradients.ptd")
            once = ["--no-shuffle", "--epochs", str(steps), "--save", "trainable", "--log-steps"]
            for event in _events(["train", *files, *data, *flags, *once, "--output", tuned]):
                if event["event"] == "step":
                    found.quantities[f"loss of step {event['step']}"] = _scalar(event["loss"])
            before = self.program.tensors()
            for tensor_name, tensor in read_tensors(tuned).tensors().items():
                found.quantities[f"change of {tensor_name}"] = tensor - before[tensor_name]
            after = [*self._files(place, weights=tuned), *data]
            for event in _events(["evaluate", *after]):
                if "loss" in event:
                    found.quantities["loss of evaluate"] = _scalar(event["loss"])
            self._note_outputs(found, list(_events(["predict", *after])))
        return found

    def _copy(self, place: Path) -> None:
        """The program, but without dropout, and without the preparation of inputs."""
        manifest = self.program.manifest
        inputs = {name: InputSpec(shape=s.shape, dtype=s.dtype) for name, s in manifest.inputs.items()}
        manifest = manifest.model_copy(update={"inputs": inputs})
        if manifest.dropout:
            save_without_dropout(replace(self.program, manifest=manifest), place)
        else:
            place.symlink_to(self.program.path.absolute())
            save_manifest(manifest_path(place), manifest)
        if self.program.weights_path is not None:  # tuned ones are read together with these
            place.with_suffix(".ptd").symlink_to(self.program.weights_path.absolute())

    def _files(self, program: Path, weights: Path | None = None) -> list[str | Path]:
        chosen = weights or self.program.weights_path
        return [program] if chosen is None else [program, "--weights", chosen]

    def _note_gradients(self, found: Steps, command: list[str | Path], path: Path) -> None:
        if self.program.manifest.contract.gradient_method is None:
            return
        with NativeProcess([*command, "--gradients", path], what=_WHAT) as process:
            process.answer()
            process.ask("1")
        for name, gradient in read_tensors(path).tensors().items():
            found.quantities[f"gradient of {name}"] = gradient

    def _note_outputs(self, found: Steps, events: Sequence[dict[str, Any]]) -> None:
        samples = [event["outputs"] for event in events if event["event"] == "prediction"]
        arguments = self.program.manifest.contract.methods["predict"].given("output")
        for argument in arguments:
            rows = samples if len(arguments) == 1 else [sample[argument.name] for sample in samples]
            shape = [len(rows) if length == BATCH else int(length) for length in argument.shape]
            found.quantities[f"predict of {argument.name}"] = _tensor(rows).reshape(shape)


def _events(arguments: list[str | Path]) -> list[dict[str, Any]]:
    with NativeProcess(arguments, what=_WHAT) as process:
        return list(process.events())


def _scalar(value: float | None) -> Tensor:
    return torch.tensor(float("nan") if value is None else value)


def _tensor(rows: list[Any]) -> Tensor:
    return torch.tensor([[float("nan") if x is None else x for x in row] for row in rows])
