"""Random batches that a model could be given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..artifacts.specs import InputSpec
from ..errors import EdgetrainError, InputError
from ..models.calling import call_model
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
    """What makes random batches: numbers are normally distributed, ids such as every embedding has, targets
    as the task has them for the model's outputs.

    Raises (when a batch is made):
        InputError: the model fails on the inputs it says it takes.
        CheckFailedError: its outputs are none that the task can be learned with.
    """
    source = subject.source
    vocabularies = [m.num_embeddings for m in subject.module.modules() if isinstance(m, nn.Embedding)]
    vocabulary = min(vocabularies, default=2)

    def make(draw: int, size: int) -> Batch:
        generator = torch.Generator().manual_seed(subject.settings.seed + draw)
        inputs = {n: _random(spec, size, vocabulary, generator) for n, spec in source.inputs.items()}
        outputs = _run(subject, inputs)
        return Batch(inputs, subject.task.random_targets(outputs, source.targets, generator))

    return make


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
        raise InputError(
            f"the model in {subject.origin} fails on the inputs it says it takes, {shapes}: {reason}"
        ) from error
