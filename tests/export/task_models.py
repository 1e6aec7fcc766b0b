"""Small models for the tasks other than plain classification, and a loss of a user's own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgetrain.artifacts.checkpoint import Checkpoint
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec, TensorSpec
from edgetrain.config.model import ModelConfig


class TwoInputs(nn.Module):
    """An image and a few numbers; [B, 3, 8, 8] and [B, 5] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.numbers = nn.Linear(5, 6)
        self.head = nn.Linear(6 * 9 + 6, 4)

    def forward(self, image: Tensor, numbers: Tensor) -> Tensor:
        return self.head(torch.cat([self.image(image), torch.tanh(self.numbers(numbers))], 1))


class Segments(nn.Module):
    """Outputs by name, as torchvision's segmentation models give them; [B, 3, 8, 8] → `out` and `aux`
    [B, 3, 8, 8]. Nothing is learned from `aux`."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 3, 2, stride=2)
        self.aux = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x)
        aux = functional.interpolate(self.aux(features), scale_factor=2.0, mode="nearest")
        return {"aux": aux, "out": self.up(features)}


class Tokens(nn.Module):
    """Tied embedding and head, causal attention; int64 [B, 6] → [B, 6, 11]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("mask", torch.ones(6, 6).triu(1).bool(), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(ids), src_mask=self.mask))


class Signal(nn.Module):
    """[B, 2, 32] → [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 4, 5), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 28, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Weighted(nn.Module):
    """A loss with numbers of its own: squared errors, weighted by column."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.tensor([1.0, 2.0, 0.5]))

    def forward(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return ((outputs - targets).square() * self.weights).mean()


class Both(nn.Module):
    """A loss over two outputs and two targets."""

    def forward(self, outputs: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
        main = functional.cross_entropy(outputs["out"], targets["mask"])
        return main + 0.4 * functional.mse_loss(outputs["aux"], targets["image"])

    def random_targets(self, outputs: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        size = outputs["out"].shape
        mask = torch.randint(0, size[1], (size[0], *size[2:]), generator=generator)
        return {"mask": mask, "image": torch.randn(outputs["aux"].shape, generator=generator)}


def checkpoint(
    model: nn.Module,
    inputs: dict[str, InputSpec],
    task: TaskSpec,
    targets: dict[str, TensorSpec] | None = None,
) -> Checkpoint:
    """A checkpoint of a model of this file."""
    name = f"task_models:{type(model).__name__}"
    return Checkpoint(ModelConfig(name=name), model.state_dict(), inputs, task, targets)


IMAGE = InputSpec(shape=(3, 8, 8))
IDS = InputSpec(shape=(6,), dtype="int64")
DENSE = {TARGETS: TensorSpec(shape=(8, 8), dtype="int64")}


def cross_entropy(name: str, **settings: Any) -> TaskSpec:
    return TaskSpec(name=name, loss="cross_entropy", **settings)


def custom(loss: type[nn.Module]) -> TaskSpec:
    return TaskSpec(name="custom", loss=f"task_models:{loss.__name__}")


CASES: dict[str, tuple[type[nn.Module], dict[str, InputSpec], TaskSpec, dict[str, TensorSpec] | None]] = {
    "two inputs": (
        TwoInputs,
        {"image": IMAGE, "numbers": InputSpec(shape=(5,))},
        cross_entropy("classification"),
        {"label": TensorSpec(shape=(), dtype="int64")},
    ),
    "segmentation": (Segments, {INPUTS: IMAGE}, cross_entropy("segmentation", ignore_index=255), DENSE),
    "token classification": (Tokens, {INPUTS: IDS}, cross_entropy("token-classification"), None),
    "next token": (Tokens, {INPUTS: IDS}, cross_entropy("next-token", label_smoothing=0.1), None),
    "regression": (
        Signal,
        {INPUTS: InputSpec(shape=(2, 32))},
        TaskSpec(name="regression", loss="mse"),
        {TARGETS: TensorSpec(shape=(3,))},
    ),
    "own loss": (
        Signal,
        {INPUTS: InputSpec(shape=(2, 32))},
        custom(Weighted),
        {TARGETS: TensorSpec(shape=(3,))},
    ),
    "own loss of several tensors": (Segments, {INPUTS: IMAGE}, custom(Both), None),
}
