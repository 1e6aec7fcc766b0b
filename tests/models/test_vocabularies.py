"""Inputs that are looked up in embeddings have bounds; others, and what is made of inputs, have none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgetrain.artifacts.checkpoint import Checkpoint
from edgetrain.artifacts.specs import InputSpec, TaskSpec, TensorSpec
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.export.batches import batch_maker
from edgetrain.export.capture import capture
from edgetrain.export.pipeline import Subject
from edgetrain.models.vocabularies import watch_vocabularies
from edgetrain.tasks import make_task


class Words(nn.Module):
    """Words at places, some of which are left out by a mask; int64 [B, 6] each → [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 4)
        self.places = nn.Embedding(9, 4)
        self.kinds = nn.Embedding(2, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, words: Tensor, places: Tensor, mask: Tensor) -> Tensor:
        kinds = self.kinds((words > 20).to(torch.int64))
        x = self.words(words.view(-1, 6)) + self.places(input=places.flatten()).view(-1, 6, 4) + kinds
        return self.head((x * mask.unsqueeze(-1)).mean(1))


class Both(nn.Module):
    """One input in two embeddings, and a part of the other one, repeated; int64 [B, 6] each."""

    def __init__(self) -> None:
        super().__init__()
        self.large, self.small = nn.Embedding(30, 4), nn.Embedding(20, 4)

    def forward(self, ids: Tensor, first: Tensor) -> Tensor:
        return self.large(ids) + self.small(ids) + self.large(first[:, :1].expand(-1, 6))


def subject() -> Subject:
    ids = InputSpec(shape=(6,), dtype="int64")
    source = Checkpoint(
        model=ModelConfig(name="test"),
        state={},
        inputs={"words": ids, "places": ids, "mask": ids},
        targets={"targets": TensorSpec(shape=(), dtype="int64")},
        task=TaskSpec(name="classification", loss="cross_entropy"),
    )
    task = make_task(source.task)
    config = ExportCommand.model_validate({"export": {"max_batch_size": 8}})
    return Subject(Words(), task, source, config, origin="test")


def test_bounds_in_the_contract() -> None:
    captured = capture(subject(), batch_maker(subject())(0, 4))
    for method in ("train", "evaluate", "predict"):
        taken = captured.signatures[method].inputs[:3]
        assert [(a.name, a.least, a.most, a.ignored) for a in taken] == [
            ("words", 0, 49, None),
            ("places", 0, 8, None),
            ("mask", None, None, None),
        ], method


def test_random_ids_are_of_the_inputs_own_embedding() -> None:
    """Where none is known, all embeddings must have them."""
    batch = batch_maker(subject())(0, 100)
    assert {name: int(tensor.max()) for name, tensor in batch.inputs.items()} == {
        "words": 49,
        "places": 8,
        "mask": 1,
    }


def test_the_smallest_of_several_embeddings_counts() -> None:
    model, ids, first = Both(), torch.zeros(3, 6, dtype=torch.int64), torch.ones(3, 6, dtype=torch.int64)
    with watch_vocabularies(model, {"ids": ids, "first": first}) as found:
        model(ids, first)
    assert found == {"ids": 20}
    found.clear()
    model(ids, first)
    assert not found, "it watches no longer"
