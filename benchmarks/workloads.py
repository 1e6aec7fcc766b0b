"""The models and batch sizes that are measured, as programs exported from random initial weights."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TensorSpec
from edgetrain.config.model import LossConfig, ModelConfig, TaskConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.export import export
from edgetrain.factories import Trusted
from edgetrain.models import build_model, resolve_model
from edgetrain.tasks import choose_task

from .native_build import ROOT

PROGRAMS = ROOT / "build" / "benchmarks"
CLASSES = 10
# The nets that the tests of fidelity make; the processes that run PyTorch import them, too.
FIDELITY = str(ROOT / "tests" / "fidelity")
sys.path.insert(0, FIDELITY)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [FIDELITY, os.environ.get("PYTHONPATH")]))


@dataclass(frozen=True)
class Model:
    """A model of edgetrain, torchvision or the tests of fidelity, with the size of one input sample.

    Attributes:
        data: what `synthetic` makes for it: classify, segment or tokens.
    """

    name: str
    shape: tuple[int, ...]
    args: dict[str, Any] = field(default_factory=dict, hash=False)
    data: str = "classify"

    @property
    def label(self) -> str:
        return self.name.rpartition(":")[2]

    @property
    def trusted(self) -> Trusted:
        return Trusted(self.name if self.name.startswith("fidelity_models:") else None)

    @property
    def dtype(self) -> str:
        return "int64" if self.data == "tokens" else "float32"


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


def _net(name: str, *shape: int, data: str = "classify", **args: Any) -> Model:
    return Model(f"fidelity_models:{name}", shape, args, data)


NETS = [
    _net("UNet", 3, 64, 64, data="segment"),
    _net("swin", 3, 64, 64),
    _net("vit", 3, 32, 32),
    _net("maxvit", 3, 32, 32),
    _net("convnext", 3, 64, 64),
    _net("Mixer", 3, 32, 32),
    _net("ds_cnn", 1, 49, 10),
    _net("lstm", 20, 12),
    _net("gru", 20, 12),
    Model("text_transformer", (32,), {"vocabulary": CLASSES}, "tokens"),
]

WORKLOADS = [
    Workload(CIFAR_CNN, 1, goal=0.40, steps=400),
    Workload(CIFAR_CNN, 4, goal=0.40, steps=200),
    Workload(CIFAR_CNN, 32, goal=0.45, steps=100),
    Workload(MOBILENET, 8, goal=0.60),
    Workload(RESNET, 8, goal=0.80),
    Workload(MLP, 32, goal=0.60, steps=400),
]
KERNEL_WORKLOADS = WORKLOADS[2:]
NET_WORKLOADS = [Workload(net, 8) for net in NETS]
SMALL = Workload(DIGITS_CNN, 4)


def select(words: list[str], workloads: list[Workload]) -> list[Workload]:
    """Those whose name contains one of the words; all but `digits_cnn` and the nets where there are none."""
    if not words:
        return workloads
    return [w for w in [*workloads, SMALL, *NET_WORKLOADS] if any(word in str(w) for word in words)]


def export_workload(workload: Workload, folder: Path) -> Path:
    """The program for just these batches, batch norm frozen; one that lies in `folder` is taken as it is."""
    stem = folder / f"{workload.model.label}-{workload.batch_size}"
    program = stem.with_suffix(".pte")
    if program.exists():
        return program
    folder.mkdir(parents=True, exist_ok=True)
    model = workload.model
    inputs = {INPUTS: InputSpec(shape=model.shape, dtype=model.dtype)}
    config = resolve_model(ModelConfig(name=model.name, args=model.args), inputs, CLASSES)
    classes = [str(label) for label in range(CLASSES)]
    tasks = {"segment": "segmentation", "tokens": "token-classification"}
    labelled = {"segment": model.shape[1:], "tokens": model.shape}.get(model.data, ())
    torch.manual_seed(0)
    checkpoint = Checkpoint(
        model=config,
        state=build_model(config).state_dict(),
        inputs=inputs,
        targets={TARGETS: TensorSpec(shape=labelled, dtype="int64")},
        task=choose_task(
            TaskConfig.model_validate({"name": tasks.get(model.data, "auto")}),
            LossConfig(),
            None,
            classes=classes,
        ).spec,
    )
    save_checkpoint(stem.with_suffix(".pth"), checkpoint)
    # Looking for finer agreement can take stock kernels minutes; benchmarks.step compares losses.
    settings = {"max_batch_size": workload.batch_size, "batch_norm": "frozen", "tolerance": 0.01}
    command = ExportCommand.model_validate({"export": settings})
    return export(command, stem.with_suffix(".pth"), stem, trusted=model.trusted).program
