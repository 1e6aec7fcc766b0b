"""The models and batch sizes that are measured, as programs exported from random initial weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TensorSpec
from edgetrain.config.model import LossConfig, ModelConfig, TaskConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.export import export
from edgetrain.models import build_model, resolve_model
from edgetrain.tasks import choose_task

from .native_build import ROOT

PROGRAMS = ROOT / "build" / "benchmarks"
CLASSES = 10


@dataclass(frozen=True)
class Model:
    """A model of edgetrain or torchvision with the size of one input sample."""

    name: str
    shape: tuple[int, ...]

    @property
    def label(self) -> str:
        return self.name.rpartition(":")[2]


@dataclass(frozen=True)
class Workload:
    """Training steps of a model on batches of one size.

    Attributes:
        goal: native time over eager time, at most.
        steps: how many to measure, in turns that last: in the first milliseconds after a pause threads may
            share a core.
    """

    model: Model
    batch_size: int
    goal: float = 1.0
    steps: int = 50

    def __str__(self) -> str:
        return f"{self.model.label} {'x'.join(map(str, self.model.shape))}, batch {self.batch_size}"


CIFAR_CNN = Model("cifar_cnn", (3, 32, 32))
MOBILENET = Model("torchvision:mobilenet_v2", (3, 64, 64))
RESNET = Model("torchvision:resnet18", (3, 64, 64))
MLP = Model("mlp", (784,))
DIGITS_CNN = Model("digits_cnn", (1, 8, 8))  # small enough for a test

WORKLOADS = [
    Workload(CIFAR_CNN, 1, goal=0.40, steps=400),
    Workload(CIFAR_CNN, 4, goal=0.40, steps=200),
    Workload(CIFAR_CNN, 32, goal=0.45, steps=100),
    Workload(MOBILENET, 8, goal=0.60),
    Workload(RESNET, 8, goal=0.80),
    Workload(MLP, 32, goal=0.60, steps=400),
]
KERNEL_WORKLOADS = WORKLOADS[2:]
SMALL = Workload(DIGITS_CNN, 4)


def select(words: list[str], workloads: list[Workload]) -> list[Workload]:
    """Those whose name contains one of the words; all where there are none. `digits_cnn` is extra."""
    if not words:
        return workloads
    return [w for w in [*workloads, SMALL] if any(word in str(w) for word in words)]


def export_workload(workload: Workload, folder: Path) -> Path:
    """The program for just these batches, batch norm frozen; one that lies in `folder` is taken as it is."""
    stem = folder / f"{workload.model.label}-{workload.batch_size}"
    program = stem.with_suffix(".pte")
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    inputs = {INPUTS: InputSpec(shape=workload.model.shape)}
    config = resolve_model(ModelConfig(name=workload.model.name), inputs, CLASSES)
    classes = [str(label) for label in range(CLASSES)]
    torch.manual_seed(0)
    checkpoint = Checkpoint(
        model=config,
        state=build_model(config).state_dict(),
        inputs=inputs,
        targets={TARGETS: TensorSpec(shape=(), dtype="int64")},
        task=choose_task(TaskConfig(), LossConfig(), None, classes=classes).spec,
    )
    save_checkpoint(stem.with_suffix(".pth"), checkpoint)
    # Looking for finer agreement can take stock kernels minutes; benchmarks.step compares losses.
    settings = {"max_batch_size": workload.batch_size, "batch_norm": "frozen", "tolerance": 0.01}
    return export(ExportCommand.model_validate({"export": settings}), stem.with_suffix(".pth"), stem).program
