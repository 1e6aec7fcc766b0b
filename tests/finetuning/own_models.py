"""Models that a checkpoint tells more about than the program made of it does."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.specs import InputSpec, Preprocessing, TaskSpec, TensorSpec
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.export import export
from edgetrain.factories import Trusted

MODULE = __name__


class UnusedHead(nn.Module):
    """A second head, left there by pretraining; [B, 1, 8, 8] → [B, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
        self.rotation = nn.Linear(16, 4)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Counting(nn.Module):
    """Batch norm, whose counter no graph reads; [B, 1, 8, 8] → [B, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x).flatten(1))


class Constants(nn.Module):
    """A buffer that is saved, one that is not, a plain attribute, and integers; [B, 1, 8, 8] → [B, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.linspace(0.1, 0.4, 64))
        shift = 0.1 * torch.randn(64, generator=torch.Generator().manual_seed(3))
        self.register_buffer("shift", shift, persistent=False)
        self.offset = torch.ones(64) * 0.1
        self.register_buffer("order", torch.arange(63, -1, -1))
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x.flatten(1) * self.scale + self.shift + self.offset)[:, self.order])


class Tied(nn.Module):
    """The output layer shares the embedding's weights; ids [B, 5] → [B, 12]."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 6)
        self.mix = nn.Linear(6, 6)
        self.out = nn.Linear(6, 12, bias=False)
        self.out.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        return self.out(torch.tanh(self.mix(self.words(ids).mean(1))))


def export_model(kind: type[nn.Module], folder: Path, **settings: Any) -> tuple[Path, Trusted]:
    """A checkpoint model.pth and the program made of it, with random weights. What was exported before is
    copied.

    Args:
        settings: of the export.
    """
    update = str(settings.get("update", ""))
    rules = Path(update.removeprefix("rules:")).read_text() if update.startswith("rules:") else None
    others = json.dumps({key: value for key, value in settings.items() if not (rules and key == "update")})
    made, trusted = _exported(kind, others, rules)
    for path in made.glob("model.*"):
        shutil.copy(path, folder)
    return folder / "model.pte", trusted


@functools.cache
def _exported(kind: type[nn.Module], settings: str, rules: str | None) -> tuple[Path, Trusted]:
    """The folder of checkpoint and program; `settings` as JSON, `rules` the contents of a file of them."""
    folder = Path(tempfile.mkdtemp(prefix="edgetrain-"))
    atexit.register(shutil.rmtree, folder)
    update = {}
    if rules is not None:
        (folder / "rules.json").write_text(rules)
        update = {"update": f"rules:{folder / 'rules.json'}"}
    torch.manual_seed(5)
    name = f"{MODULE}:{kind.__name__}"
    ids = kind is Tied
    image = InputSpec(shape=(1, 8, 8), preprocessing=Preprocessing(scale=1 / 255))
    checkpoint = Checkpoint(
        model=ModelConfig(name=name),
        state={name: tensor.clone() for name, tensor in kind().state_dict().items()},
        inputs={"inputs": InputSpec(shape=(5,), dtype="int64") if ids else image},
        targets={"targets": TensorSpec(shape=(), dtype="int64")},
        task=TaskSpec(
            name="classification", loss="cross_entropy", classes=tuple(map(str, range(12 if ids else 10)))
        ),
    )
    for counter in (t for n, t in checkpoint.state.items() if n.endswith("num_batches_tracked")):
        counter.fill_(1234)
    save_checkpoint(folder / "model.pth", checkpoint)
    trusted = Trusted(model=name)
    config = ExportCommand.model_validate({"export": {"max_batch_size": 8, **json.loads(settings), **update}})
    export(config, folder / "model.pth", folder / "model", trusted=trusted)
    return folder, trusted


def data_for(kind: type[nn.Module], folder: Path) -> dict[str, Any]:
    """The `data` section of samples that fit."""
    if kind is not Tied:
        return {"name": "digits", "images_per_class": 4, "test_images_per_class": 2}
    import numpy as np

    random = np.random.default_rng(0)
    inputs, targets = random.integers(0, 12, (40, 5)), random.integers(0, 12, 40)
    np.savez(folder / "words.npz", inputs=inputs, targets=targets)
    return {"name": "arrays", "root": folder / "words.npz"}
