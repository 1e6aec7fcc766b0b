"""What predicts: a program in a process of its own, or a checkpoint in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ..artifacts.checkpoint import load_checkpoint
from ..artifacts.program import load_program
from ..artifacts.specs import InputSpec, TaskSpec, TensorSpec
from ..config.predict import PredictConfig
from ..errors import EdgetrainError, UsageError
from ..factories import Trusted
from ..models.calling import call_model
from ..models.trusted import load_trusted_model
from ..runtimes.base import RuntimeName
from ..runtimes.child import Child, Started
from ..runtimes.fitting import targets_of
from ..runtimes.sessions import open_session
from ..tasks.outputs import named_outputs

_USUAL_BATCH_SIZE = 64

Bounds = Mapping[str, tuple[int, int]]


class Compute(Protocol):
    """From preprocessed inputs, [B, ...] by name, to the model's float32 outputs by name."""

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Subject:
    """A loaded model.

    Attributes:
        path: the program or checkpoint.
        inputs: of a sample, by name, in the order the model takes them.
        targets: of a sample, by name; None where that is not known.
        id_bounds: least and most id, of inputs that are ids and have some.
        batch_size: samples at once.
    """

    path: Path
    weights: Path | None
    inputs: dict[str, InputSpec]
    targets: dict[str, TensorSpec] | None
    task: TaskSpec
    id_bounds: Bounds
    batch_size: int
    compute: Compute


@contextmanager
def opened(
    settings: PredictConfig, model: Path, weights: Path | None, trusted: Trusted, *, is_program: bool
) -> Iterator[Subject]:
    """Loads a model for as long as the context lasts.

    Raises:
        InputError: a file is missing or damaged, or names code that the caller did not.
        UsageError: the settings don't fit the model.
    Calls of `compute` raise:
        InputError: the runtime refuses the program.
        CheckFailedError: the program crashed.
    """
    if not is_program:
        if weights is not None:
            raise UsageError(f"--weights are a program's; the checkpoint {model} brings its own")
        yield _checkpoint(settings, model, trusted)
        return
    program = load_program(model, weights)
    contract = program.manifest.contract
    size = settings.batch_size or contract.max_batch_size
    if size > contract.max_batch_size:
        raise UsageError(f"the program takes batches of up to {contract.max_batch_size}, not {size}")
    with _Elsewhere(settings, model, weights, trusted) as compute:
        yield Subject(
            model,
            program.weights_path,
            program.manifest.inputs,
            targets_of(program.manifest),
            program.manifest.task,
            {
                a.name: (int(a.least), int(a.most))
                for a in contract.sample_inputs
                if a.least is not None and a.most is not None
            },
            size,
            compute,
        )


class _Elsewhere:
    """A program in a process of its own: it may come from anywhere, and what ExecuTorch doesn't check of it
    ends a process. That imports the runtime while samples are read here, and loads the program for the first
    batch."""

    def __init__(
        self, settings: PredictConfig, program: Path, weights: Path | None, trusted: Trusted
    ) -> None:
        self._given = (program, weights, settings.runtime, settings.threads, trusted)
        self._started = Started(_prepare if settings.runtime == "executorch" else None)
        self._child: Child | None = None

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self._child is None:
            what = f"running {self._given[0]}"
            self._child = Child(_Predictor, *self._given, what=what, started=self._started)
        found: dict[str, Tensor] = self._child.call("predict", dict(inputs))
        return found

    def __enter__(self) -> _Elsewhere:
        return self

    def __exit__(self, *error: object) -> None:
        if self._child is not None:
            self._child.close()
        self._started.__exit__()


def _prepare() -> None:
    from ..runtimes.executorch_py import runtime_operators

    runtime_operators()


class _Predictor:
    """What lives in that process."""

    def __init__(
        self,
        program: Path,
        weights: Path | None,
        runtime: RuntimeName,
        threads: int | None,
        trusted: Trusted,
    ) -> None:
        loaded = load_program(program, weights)
        self._session = open_session(runtime, loaded, dropout=False, threads=threads, trusted=trusted)

    def predict(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self._session.predict(inputs).items()}


def _checkpoint(settings: PredictConfig, path: Path, trusted: Trusted) -> Subject:
    checkpoint = load_checkpoint(path)
    model = load_trusted_model(checkpoint, trusted, source=str(path)).eval()
    if settings.threads:
        torch.set_num_threads(settings.threads)

    @torch.no_grad()
    def compute(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        try:
            return named_outputs(call_model(model, inputs))
        except (ValueError, IndexError, RuntimeError) as error:  # an id out of range, as an example
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EdgetrainError(f"the model of {path} fails on these samples: {reason}") from error

    size = settings.batch_size or _USUAL_BATCH_SIZE
    return Subject(path, None, checkpoint.inputs, checkpoint.targets, checkpoint.task, {}, size, compute)
