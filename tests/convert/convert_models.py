"""Small models of different kinds, and all the files people keep them in."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import Dim

from edgetrain.artifacts.specs import TensorSpec
from edgetrain.vision import import_torchvision


class Images(nn.Module):
    """Convolution, batch norm, max-pool, dropout; [B, 3, 12, 12] → [B, 5]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6 * 36, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        return self.head(self.drop(x.view(x.size(0), -1)))


class Seizures(nn.Module):
    """1-D convolutions with dropout over one long signal; [B, 1, 60] → [B, 2]."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(1, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2), nn.Dropout(dropout),
            nn.Conv1d(8, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU(), nn.MaxPool1d(2), nn.Dropout(dropout),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(8 * 15, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class Recurrent(nn.Module):
    """A recurrent classifier; [B, 3, 4] → [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.rnn(x)
        return self.head(output[:, -1])


class Tokens(nn.Module):
    """A transformer over token ids; int64 [B, 6] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.position = nn.Parameter(torch.randn(1, 6, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x) + self.position).mean(1))


class Two(nn.Module):
    """An image and token ids; [B, 3, 8, 8] and int64 [B, 4] → [B, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.embed = nn.Embedding(9, 5)
        self.head = nn.Linear(9, 3)

    def forward(self, image: Tensor, ids: Tensor) -> Tensor:
        features = torch.relu(self.conv(image)).mean((2, 3))
        return self.head(torch.cat([features, self.embed(ids).mean(1)], 1))


def mobilenet() -> nn.Module:
    """mobilenet_v2 with a quarter of its channels; [B, 3, 32, 32] → [B, 10]."""
    return import_torchvision().models.mobilenet_v2(width_mult=0.25, num_classes=10)


MODELS: dict[str, tuple[Callable[[], nn.Module], TensorSpec]] = {
    "Images": (Images, TensorSpec(shape=(3, 12, 12))),
    "Seizures": (Seizures, TensorSpec(shape=(1, 60))),
    "Recurrent": (Recurrent, TensorSpec(shape=(3, 4))),
    "mobilenet": (mobilenet, TensorSpec(shape=(3, 32, 32))),
    "Tokens": (Tokens, TensorSpec(shape=(6,), dtype="int64")),
}


def make(name: str) -> nn.Module:
    """A model with weights and statistics like those of a trained one."""
    torch.manual_seed(0)
    model = MODELS[name][0]()
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def example(name: str, batch: int = 2) -> Tensor:
    """A random batch for a model."""
    spec = MODELS[name][1]
    generator = torch.Generator().manual_seed(1)
    if spec.dtype == "int64":
        return torch.randint(0, 20, (batch, *spec.shape), generator=generator)
    return torch.randn(batch, *spec.shape, generator=generator)


def _trace(name: str) -> torch.jit.ScriptModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        return torch.jit.trace(make(name), example(name), check_trace=False)


def _exported(name: str, path: Path) -> None:
    dynamic = ({0: Dim("batch", min=1, max=64)},)
    torch.export.save(
        torch.export.export(make(name), (example(name),), dynamic_shapes=dynamic, strict=True), path
    )


WRITERS: dict[str, Callable[[str, Path], object]] = {
    "state_dict": lambda name, path: torch.save(make(name).state_dict(), path),
    "checkpoint": lambda name, path: torch.save(
        {
            "epoch": 3,
            "state_dict": {f"module.{key}": t for key, t in make(name).state_dict().items()},
            "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
        },
        path,
    ),
    "pickled module": lambda name, path: torch.save(make(name), path),
    "traced": lambda name, path: _trace(name).save(str(path)),
    "scripted": lambda name, path: torch.jit.script(make(name)).save(str(path)),
    "mobile": lambda name, path: _trace(name)._save_for_lite_interpreter(str(path)),
    "pt2": _exported,
    "safetensors": lambda name, path: save_file(make(name).state_dict(), path),
}
SUFFIXES = {"mobile": ".ptl", "pt2": ".pt2", "safetensors": ".safetensors"}
NAMES_ITS_MODEL = ("traced", "scripted", "mobile", "pt2", "pickled module")


def write(kind: str, name: str, folder: Path) -> Path:
    """A model in a file of some kind."""
    path = folder / f"{name}-{kind.replace(' ', '-')}{SUFFIXES.get(kind, '.pt')}"
    WRITERS[kind](name, path)
    return path


def model_flags(kind: str, name: str) -> dict[str, object]:
    """What `convert` must be told about such a file."""
    if kind == "pickled module":
        return {"trust_pickle": True}
    if kind in NAMES_ITS_MODEL:
        return {}
    if name == "mobilenet":
        return {"model": "torchvision:mobilenet_v2", "model_args": {"width_mult": 0.25, "num_classes": 10}}
    return {"model": f"convert_models:{name}"}


def with_record(source: Path, path: Path, ending: str, change: Callable[[bytes], bytes]) -> Path:
    """A copy of a zip file in which one record is changed."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name.endswith(ending) else content)
    return path
