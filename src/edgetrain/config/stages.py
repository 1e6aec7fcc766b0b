"""One section per stage, and the sections each command reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from .base import Section, setting
from .check import CheckConfig
from .convert import ConvertConfig
from .data import DataConfig
from .model import LossConfig, ModelConfig, TaskConfig
from .optimize import OptimizeConfig
from .optimizer import OptimizerConfig, ScheduleConfig
from .predict import PredictConfig

# Far above any machine; more only start threads until the system refuses.
MOST_THREADS = 1024
MOST_STEPS = 1_000_000_000
PATIENCE = "stop after so many validated epochs without a better one; default: only after all epochs"
PICTURE = "format of the picture of loss, metrics and learning rate that is drawn beside the history"
LOG = "also log the figures of each epoch for TensorBoard, as in tensorboard:DIR"
PictureForm = Literal["none", "png", "svg"]
# Of `finetune`: what is shown to people, which is nothing to the runner.
SHOWN_ONLY = frozenset({"picture", "log"})
_BYTES = r"\d+(\.\d+)?(B|kB|KB|MB|GB|KiB|MiB|GiB)?"
_UPDATE = re.compile(rf"full|head|bias|last:[1-9]\d{{0,5}}|rules:.+|budget:{_BYTES}")
_RECOMPUTE = re.compile(rf"none|cheap|blocks|budget(:{_BYTES})?")
_UNITS = {"": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 10**6, "GB": 10**9}
_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_bytes(text: str) -> int:
    """A size such as `512`, `1.5MB` or `300KiB` [bytes]."""
    number = text.rstrip("kKMGiB")
    return int(float(number) * _UNITS[text[len(number) :]])


def check_log(value: str | None) -> str | None:
    """Refuses what is no `tensorboard:DIR`."""
    kind, _, folder = (value or "").partition(":")
    if value is not None and (kind != "tensorboard" or not folder):
        raise ValueError(f"must be tensorboard:DIR (got {value!r})")
    return value


class TrainConfig(Section):
    """Training on the server."""

    epochs: int = setting(10, "passes over the training split", ge=1, may_change=True)
    max_steps: int | None = setting(None, "stop after this many optimizer steps", ge=1, may_change=True)
    batch_size: int = setting(64, "samples per step (per process, with torchrun)", ge=1)
    eval_batch_size: int = setting(500, "samples per validation batch", ge=1)
    seed: int = setting(0, "seed of initial weights, order, augmentation and dropout", ge=0)
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto", "where to train; auto takes a GPU where there is one"
    )
    precision: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "arithmetic of the forward pass; auto is bfloat16 autocast on a GPU that has it, else float32"
    )
    threads: int | None = setting(None, "CPU threads; default: PyTorch's choice", ge=1, le=MOST_THREADS)
    qat: bool = setting(False, "quantization-aware: learn with the rounding that the int8 program will have")
    save_every: int | None = setting(
        None,
        "also save the resumable state every so many steps; default: after each epoch",
        ge=1,
        may_change=True,
    )
    patience: int | None = setting(None, PATIENCE, ge=1, may_change=True)
    picture: PictureForm = setting("png", PICTURE, may_change=True)
    log: str | None = setting(None, LOG, may_change=True)

    @field_validator("log")
    @classmethod
    def _known_log(cls, value: str | None) -> str | None:
        return check_log(value)


class ExportConfig(Section):
    """Lowering of the forward and backward graph to ExecuTorch."""

    max_batch_size: int = setting(32, "largest batch the program accepts; its memory is planned for it", ge=1)
    trainable: list[str] = setting(
        ["*"],
        "patterns of parameter names that stay trainable, as in 'classifier.*'; repeatable; *: all but those "
        "that the model's own code has frozen",
        min_length=1,
    )
    batch_norm: Literal["frozen", "train"] = setting(
        "frozen",
        "frozen: normalise with the stored statistics; train: with the batch's, updating the stored ones",
    )
    weights: Literal["external", "inline"] = setting(
        "external", "external: in a .ptd beside the program; inline: inside the .pte"
    )
    convolutions: Literal["direct", "im2col"] = setting(
        "direct",
        "direct: convolution operators, for edgetrain's runner; im2col: matrix products over patches, faster "
        "in a stock build of ExecuTorch, in more memory",
    )
    recurrent: Literal["fused", "unrolled"] = setting(
        "fused",
        "LSTM, GRU and RNN; fused: an operator for all steps, which only edgetrain's kernels run; unrolled: "
        "operators for each step, for stock builds of ExecuTorch",
    )
    update: str = setting(
        "full",
        "which parameters are trained: full, all; head, the last layer; last:K, the last K layers; bias, "
        "biases and the last layer; rules:FILE, by name as a file says; budget:BYTES, the best set that fits "
        "into so much memory, as in budget:2MB",
    )
    update_in_graph: Literal["auto", "on", "off"] = setting(
        "auto",
        "whether a step's update of the weights is part of the program, so that no gradients pile up; auto: "
        "yes, with a second method for runs that the program's own optimizer doesn't fit; on: without it; "
        "off: gradients are returned for an optimizer outside",
    )
    recompute: str = setting(
        "none",
        "what backward makes again rather than have it kept: none; cheap, element by element functions; "
        "blocks, all between checkpoints; budget, as much as saves memory, or budget:BYTES, no more than "
        "that takes",
    )
    micro_batch: int | None = setting(
        None,
        "plan memory for so many samples; larger batches are run in parts that add up to one step",
        ge=1,
    )
    backbone: Literal["none", "xnnpack", "xnnpack-int8"] = setting(
        "none",
        "run the frozen layers before the first trained one as a method of their own on XNNPACK, in float32 "
        "or int8",
    )
    calibration: Path | None = setting(
        None,
        "samples for int8, comparisons and budgets: a file of 'edgetrain pack', or a .npz or .safetensors "
        "with inputs and targets by name",
    )
    sensitivity: Literal["gradient", "accuracy"] = setting(
        "gradient",
        "how a budget's search measures what a part of the model gains: gradient, by the norm of its "
        "gradient; accuracy, by a short fine-tuning of it alone on calibration samples",
    )
    tolerance: float = setting(
        1e-4,
        "largest relative error against PyTorch that verification accepts (loss, gradients, weights)",
        ge=1e-6,
    )
    seed: int = setting(0, "seed of the samples used for verification, and of new parameters", ge=0)

    @model_validator(mode="after")
    def _backbone_fits(self) -> ExportConfig:
        if self.backbone == "xnnpack-int8" and self.calibration is None:
            raise ValueError(
                "backbone xnnpack-int8 needs calibration, a file of samples that tell the ranges of numbers"
            )
        if self.backbone != "none" and self.batch_norm == "train":
            raise ValueError("a backbone keeps the statistics of its layers; it needs batch_norm: frozen")
        return self

    @model_validator(mode="after")
    def _sensitivity_fits(self) -> ExportConfig:
        if self.sensitivity == "accuracy" and self.calibration is None:
            raise ValueError("sensitivity accuracy needs calibration, a file of samples to tune and judge by")
        return self

    @property
    def budget(self) -> int | None:
        """Bytes that training may take; None where no budget is given."""
        kind, _, size = self.update.partition(":")
        return parse_bytes(size) if kind == "budget" else None

    @property
    def rules_file(self) -> Path | None:
        """The file of rules that `update` names."""
        kind, _, path = self.update.partition(":")
        return Path(path) if kind == "rules" else None

    @property
    def recompute_budget(self) -> int | None:
        """Bytes that activations may take; None where none are named."""
        kind, _, size = self.recompute.partition(":")
        return parse_bytes(size) if kind == "budget" and size else None

    @model_validator(mode="after")
    def _parts_have_no_statistics(self) -> ExportConfig:
        if self.micro_batch is not None and self.batch_norm == "train":
            raise ValueError(
                "micro_batch needs batch_norm: frozen, since a part of a batch has other statistics than the "
                "whole"
            )
        return self

    @property
    def planned_batch_size(self) -> int:
        """Samples that the program takes at once."""
        return self.micro_batch or self.max_batch_size

    @field_validator("update")
    @classmethod
    def _known_update(cls, value: str) -> str:
        if not _UPDATE.fullmatch(value):
            raise ValueError(
                "must be full, head, last:K, bias, rules:FILE or budget:BYTES, as in budget:2MB "
                f"(got {value!r})"
            )
        return value

    @field_validator("recompute")
    @classmethod
    def _known_recompute(cls, value: str) -> str:
        if not _RECOMPUTE.fullmatch(value):
            raise ValueError(f"must be none, cheap, blocks, budget or budget:BYTES (got {value!r})")
        return value


class FinetuneConfig(Section):
    """Training of an exported program."""

    runtime: Literal["auto", "native", "executorch", "torch"] = setting(
        "auto",
        "native: the C++ runner, as on a device; executorch: ExecuTorch from Python; torch: eager PyTorch, "
        "the oracle; auto: native where it is installed, else executorch",
    )
    kernels: Literal["auto", "fast", "stock"] = setting(
        "auto",
        "of the executorch runtime; fast: edgetrain's own; stock: ExecuTorch's; auto: fast where installed",
    )
    epochs: int = setting(5, "passes over the training split", ge=1, le=MOST_STEPS, may_change=True)
    max_steps: int | None = setting(
        None, "stop after this many optimizer steps; default: after all epochs", ge=1, may_change=True
    )
    batch_size: int | None = setting(
        None, "samples per batch; default: 32, or the most the program takes", ge=1
    )
    accumulate: int = setting(1, "batches whose gradients make one step", ge=1, le=MOST_STEPS)
    shuffle: bool = setting(True, "visit the samples in another random order each epoch")
    eval_every: int = setting(
        1,
        "validate every so many epochs; 0: only before the first and after the last",
        ge=0,
        may_change=True,
    )
    save_every: int | None = setting(
        None, "also save every so many steps; default: after each epoch", ge=1, may_change=True
    )
    keep: Literal["last", "best"] = setting(
        "last", "whose weights become the output: those after the last step, or those of the best epoch"
    )
    best_by: str | None = setting(
        None,
        "metric by which one epoch is better than another, or else by the loss; default: the task's (of the "
        "runner by itself: the loss)",
    )
    patience: int | None = setting(None, PATIENCE, ge=1, may_change=True)
    picture: PictureForm = setting("png", PICTURE, may_change=True)
    log: str | None = setting(None, LOG, may_change=True)
    save: Literal["full", "trainable", "delta"] = setting(
        "full",
        "what a .ptd of tuned weights holds: full: all weights; trainable: those that training changes; "
        "delta: by how much it changed them",
    )
    keep_features: int = setting(
        256_000_000,
        "keep what a backbone makes of a data set where that takes at most so many bytes; 0: never",
        ge=0,
        may_change=True,
    )
    seed: int = setting(0, "seed of order and augmentation", ge=0)
    threads: int | None = setting(
        None, "CPU threads; default: the runtime's choice", ge=1, le=MOST_THREADS, may_change=True
    )

    @field_validator("log")
    @classmethod
    def _known_log(cls, value: str | None) -> str | None:
        return check_log(value)


class BenchConfig(Section):
    """The same fine-tuning in every runtime."""

    runtimes: list[Literal["torch", "executorch", "executorch-stock", "native"]] | None = setting(
        None,
        "runtimes to compare; torch is the reference of all ratios; executorch-stock is executorch without "
        "edgetrain's kernels; default: all that are installed, but not executorch-stock",
        min_length=1,
    )
    steps: int = setting(20, "measured steps per runtime, threads and batch size", ge=1)
    warmup: int = setting(3, "steps before the measured ones, not timed", ge=0)
    rounds: int = setting(4, "turns the measured steps are split into; runtimes alternate", ge=1)
    threads: list[int] = setting([1], "CPU threads to measure with, as in 1,2", min_length=1)
    batch_sizes: list[int] = setting([4], "batch sizes to measure, as in 1,4,32", min_length=1)
    dropout: bool = setting(False, "leave dropout on; losses then can't be compared")
    seed: int = setting(0, "seed of the batches", ge=0)
    profile: bool = setting(
        False, "also tell which operators take the time, in further steps that are not measured"
    )

    @field_validator("threads")
    @classmethod
    def _few_threads(cls, value: list[int]) -> list[int]:
        if max(value) > MOST_THREADS:
            raise ValueError(f"must be at most {MOST_THREADS} (got {max(value)})")
        return value


class PackConfig(Section):
    """Writing a data set as a file for devices."""

    split: Literal["train", "test"] = setting("train", "split to pack")


class TrainCommand(Section):
    """What `edgetrain train` reads."""

    data: DataConfig = Field(default_factory=DataConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    task: TaskConfig = Field(default_factory=TaskConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)


class ExportCommand(Section):
    """What `edgetrain export` reads. The optimizer becomes part of the program."""

    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)


class ConvertCommand(Section):
    """What `edgetrain convert` reads."""

    convert: ConvertConfig = Field(default_factory=ConvertConfig)
    task: TaskConfig = Field(default_factory=TaskConfig)
    loss: LossConfig = Field(default_factory=LossConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    export: ExportConfig = Field(default_factory=ExportConfig)


class FinetuneCommand(Section):
    """What `edgetrain finetune` reads."""

    data: DataConfig = Field(default_factory=DataConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    finetune: FinetuneConfig = Field(default_factory=FinetuneConfig)


class BenchCommand(Section):
    """What `edgetrain bench` reads."""

    data: DataConfig = Field(default_factory=DataConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    bench: BenchConfig = Field(default_factory=BenchConfig)


class PackCommand(Section):
    """What `edgetrain pack` reads."""

    data: DataConfig = Field(default_factory=DataConfig)
    pack: PackConfig = Field(default_factory=PackConfig)


class CheckCommand(Section):
    """What `edgetrain check` reads."""

    check: CheckConfig = Field(default_factory=CheckConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    task: TaskConfig = Field(default_factory=TaskConfig)
    loss: LossConfig = Field(default_factory=LossConfig)


class PredictCommand(Section):
    """What `edgetrain predict` reads."""

    data: DataConfig = Field(default_factory=DataConfig)
    predict: PredictConfig = Field(default_factory=PredictConfig)


class OptimizeCommand(Section):
    """What `edgetrain optimize` reads; `train` says how it trains in between, but for the epochs."""

    data: DataConfig = Field(default_factory=DataConfig)
    optimizer: OptimizerConfig = Field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    train: TrainConfig = Field(default_factory=TrainConfig)
    optimize: OptimizeConfig = Field(default_factory=OptimizeConfig)


COMMANDS: dict[str, type[Section]] = {
    "train": TrainCommand,
    "export": ExportCommand,
    "finetune": FinetuneCommand,
    "bench": BenchCommand,
    "pack": PackCommand,
    "convert": ConvertCommand,
    "optimize": OptimizeCommand,
    "check": CheckCommand,
    "predict": PredictCommand,
}

SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for command in COMMANDS.values()
    for name, field in command.model_fields.items()
    if isinstance(field.annotation, type)
}
