"""Random batches that a model could be given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..artifacts.specs import InputSpec
from ..errors import EdgetrainError, InputError
from ..models.calling import call_model
from ..models.vocabularies import watch_vocabularies
from ..tasks.outputs import named_outputs
from .pipeline import Subject


@dataclass(frozen=True)
class Batch:
    """Named tensors of some samples, [B, ...] each, preprocessed."""

    inputs: dict[str, Tensor]
    targets: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Inputs, then targets."""
        return *self.inputs.values(), *self.targets.values()


# (draw, size) → a batch; the same one each time.
MakeBatch = Callable[[int, int], Batch]


def batch_maker(subject: Subject) -> MakeBatch:
    """What makes random batches: numbers are normally distributed, ids such as their embedding has (such as
    every embedding has, where that isn't known), targets as the task has them for the model's outputs.

    Raises (when a batch is made; where there are ids, at once):
        InputError: the model fails on the inputs it says it takes.
        CheckFailedError: its outputs are none that the task can be learned with.
    """
    source = subject.source
    vocabularies = [m.num_embeddings for m in subject.module.modules() if isinstance(m, nn.Embedding)]
    least = min(vocabularies, default=2)
    known = _vocabularies(subject, least) if vocabularies else {}

    def make(draw: int, size: int) -> Batch:
        generator = torch.Generator().manual_seed(subject.settings.seed + draw)
        inputs = {n: _random(spec, size, known.get(n, least), generator) for n, spec in source.inputs.items()}
        outputs = _run(subject, inputs)
        return Batch(inputs, subject.task.random_targets(outputs, source.targets, generator))

    return make


def _vocabularies(subject: Subject, least: int) -> dict[str, int]:
    """How many ids each input may hold, where it goes into an embedding.

    Args:
        least: ids that every embedding has, to find out with.
    """
    specs, generator = subject.source.inputs, torch.Generator().manual_seed(subject.settings.seed)
    if not any(spec.dtype == "int64" for spec in specs.values()):
        return {}
    inputs = {n: _random(spec, 1, least, generator) for n, spec in specs.items()}
    with watch_vocabularies(subject.module, inputs) as found:
        _run(subject, inputs)
    return found


def _random(spec: InputSpec, size: int, vocabulary: int, generator: torch.Generator) -> Tensor:
    shape = (size, *spec.shape)
    if spec.dtype == "int64":
        return torch.randint(0, vocabulary, shape, generator=generator)
    return torch.randn(shape, generator=generator)


@torch.no_grad()
def _run(subject: Subject, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    subject.module.eval()
    try:
        return named_outputs(call_model(subject.module, inputs))
    except EdgetrainError:
        raise
    except Exception as error:  # a model is anybody's code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        shapes = ", ".join(f"{name} {list(spec.shape)}" for name, spec in subject.source.inputs.items())
        size = len(next(iter(inputs.values())))
        raise InputError(
            f"the model in {subject.origin} fails on {size} samples of the inputs it says it "
            f"takes, {shapes}: {reason}"
        ) from error
