"""Small models, one for each thing that is special about an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.specs import INPUTS, InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.export.pipeline import Subject
from edgetrain.factories import Trusted
from edgetrain.tasks import make_task


class Signals(nn.Module):
    """1-D convolutions with max-pooling, [B, 2, 32] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 6, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 8, 3), nn.SiLU()
        )
        self.head = nn.Linear(8 * 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


class Pools(nn.Module):
    """Overlapping max-pool, average pools, group norm, GELU; [B, 3, 16, 16] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.GroupNorm(2, 8),
            nn.GELU(),
            nn.MaxPool2d(3, 2, padding=1),
            nn.ZeroPad2d((1, 1, 0, 2)),
            nn.Conv2d(8, 8, 3, groups=4),
            nn.Hardswish(),
            nn.AvgPool2d(2),
            nn.AvgPool2d(3, 1, padding=1),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


class Normalised(nn.Module):
    """Batch norm, a scale of its own that is viewed, functional and module dropout; [B, 3, 8, 8] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.scale = nn.Parameter(torch.ones(6) + 0.1 * torch.randn(6))
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(6 * 16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.conv(x))) * self.scale.view(1, -1, 1, 1)
        x = nn.functional.max_pool2d(x, 2).flatten(1)
        return self.head(nn.functional.dropout(self.drop(x), 0.2, self.training))


class Sequences(nn.Module):
    """A recurrent classifier, [B, 6, 5] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(5, 7, batch_first=True)
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])


class Attention(nn.Module):
    """One transformer layer, [B, 6, 8] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).mean(1))


class Trained(nn.Module):
    """What optimizers meet: weights of convolutions, of linear layers, biases, one parameter used twice;
    [B, 2, 6, 6] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.hidden = nn.Linear(48, 8)
        self.twice = nn.Linear(8, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.hidden(torch.relu(self.conv(x)).flatten(1)))
        return self.head(torch.tanh(self.twice(torch.tanh(self.twice(x)))))


class Factored(nn.Module):
    """Two weights, each a factor of the other's gradient; [B, 6] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Parameter(0.5 * torch.randn(6, 3))
        self.right = nn.Parameter(0.5 * torch.randn(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (self.left @ self.right)


class PerToken(nn.Module):
    """A class for each of six vectors, [B, 6, 5] → [B, 6, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


class Dropped(nn.Module):
    """The mean of weighted and dropped-out inputs, [B, 4000] → [B, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4000))
        self.drop = nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(x * self.weight).mean(1, keepdim=True)


class Fractional(nn.Module):
    """A pool that has no kernel on the device, neither forward nor backward; [B, 3, 9, 9] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.FractionalMaxPool2d(2, output_size=5)
        )
        self.head = nn.Linear(4 * 25, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Unused(nn.Module):
    """A parameter no output depends on; [B, 5] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(5, 4)
        self.spare = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


class PlainTensors(nn.Module):
    """Constants that are plain attributes, one called as a method of every module; [B, 5] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.half = torch.full((5,), 0.5)
        self.shift = torch.ones(5)
        self.head = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x * self.half + self.shift)


class Habits(nn.Module):
    """What people do in a forward: its input is changed in place, it works in channels_last with channels of
    odd numbers, padding cuts, a stem keeps its statistics whatever `train()` says, a buffer follows
    the activations, a constant is expanded and not saved, two layers share their tensors under names with
    capitals, a head is unused; [B, 3, 7, 5] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.Stem = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5))
        self.block = nn.Sequential(
            nn.ConstantPad2d((1, -1, -2, 2), 0.5), nn.ReflectionPad2d(1), nn.Conv2d(5, 7, 3, bias=False)
        )
        self.norm = nn.BatchNorm2d(7)
        self.register_buffer("mean", torch.zeros(7))
        self.register_buffer("scale", torch.tensor([0.5]).expand(7), persistent=False)
        self.First, self.Second = nn.Linear(7, 7), nn.Linear(7, 7)
        self.Second.weight, self.Second.bias = self.First.weight, self.First.bias
        self.spare, self.head = nn.Linear(7, 3), nn.Linear(7, 4)
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> Habits:
        super().train(mode)
        self.Stem.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        x.flatten(1).sub_(0.5)
        x = self.Stem(x.to(memory_format=torch.channels_last))
        x = torch.sigmoid(self.norm(self.block(x))).mean((2, 3)) * self.scale
        mean = self.mean
        assert isinstance(mean, Tensor)
        if self.training:
            mean.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return self.head(torch.tanh(self.Second(torch.tanh(self.First(x - mean)))))


SHAPES = {
    Signals: (2, 32),
    Pools: (3, 16, 16),
    Normalised: (3, 8, 8),
    Sequences: (6, 5),
    Attention: (6, 8),
    Trained: (2, 6, 6),
    Factored: (6,),
    PerToken: (6, 5),
    Dropped: (4000,),
    Fractional: (3, 9, 9),
    Unused: (5,),
    PlainTensors: (5,),
    Habits: (3, 7, 5),
}


def factory_name(kind: type[nn.Module]) -> str:
    """The name under which a checkpoint builds one of these models."""
    return f"export_models:{kind.__name__}"


CLASSES = TaskSpec(name="classification", loss="cross_entropy", classes=tuple("abcd"))


def command(optimizer: dict[str, Any] | None = None, **settings: Any) -> ExportCommand:
    """The configuration of an export."""
    return ExportCommand.model_validate({"optimizer": optimizer or {}, "export": settings})


def subject(
    model: nn.Module,
    shape: tuple[int, ...],
    task: TaskSpec = CLASSES,
    optimizer: dict[str, Any] | None = None,
    **settings: Any,
) -> Subject:
    """A model as it is exported, without a file."""
    source = Checkpoint(ModelConfig(name="test"), {}, {INPUTS: InputSpec(shape=shape)}, task)
    config = command(optimizer, **settings)
    return Subject(model, make_task(task, Trusted(loss=task.loss)), source, config, origin="test")


def write_checkpoint(path: Path, kind: type[nn.Module], task: TaskSpec = CLASSES) -> Path:
    """A checkpoint of a freshly initialised model."""
    torch.manual_seed(0)
    model = kind()
    save_checkpoint(
        path,
        Checkpoint(
            model=ModelConfig(name=factory_name(kind)),
            state=model.state_dict(),
            inputs={INPUTS: InputSpec(shape=SHAPES[kind])},
            task=task,
        ),
    )
    return path
