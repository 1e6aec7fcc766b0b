"""Named samples: several inputs, ids, dense targets, and the metrics that come with them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.job import AugmentationRecord, Job, save_job
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import InputSpec, Preprocessing, TaskSpec, TensorSpec
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.config.model import ModelConfig
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.config.stages import ExportCommand, FinetuneConfig
from edgetrain.data import BatchLoader
from edgetrain.data.augment import Augmentation
from edgetrain.data.base import TensorSplit
from edgetrain.engine.metrics import Meter
from edgetrain.export import export
from edgetrain.factories import Trusted
from edgetrain.models import build_model
from edgetrain.runtimes import open_session
from edgetrain.runtimes.stepping import make_stepper

Runner = Callable[..., Any]
SAMPLES, CLASSES, LENGTH = 22, 5, 6
MODELS = """
import torch
from torch import nn


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(3 * 6 * 6 + 4, 5)

    def forward(self, image, numbers):
        return self.head(torch.cat([self.image(image), numbers], 1))


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 1))

    def forward(self, image):
        return {"out": self.body(image)}


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(7, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, ids):
        return self.head(self.embedding(ids))


def both():
    return Both()


def dense():
    return Dense()


def tokens():
    return Tokens()
"""
PREPROCESSING = Preprocessing(scale=1 / 255, mean=(0.5, 0.25), std=(0.25, 0.5))
IMAGE = InputSpec(shape=(2, 8, 8), preprocessing=PREPROCESSING)


@dataclass(frozen=True)
class Made:
    """An exported program, and data for it."""

    program: Path
    data: Path
    inputs: dict[str, torch.Tensor]
    targets: dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """Exports one of the models for up to 8 samples."""
    modules = tmp_path_factory.mktemp("models")
    (modules / "edgetrain_named_models.py").write_text(MODELS)
    sys.path.insert(0, str(modules))

    def call(
        name: str,
        task: TaskSpec,
        specs: dict[str, InputSpec],
        inputs: dict[str, torch.Tensor],
        targets: dict[str, torch.Tensor],
    ) -> Made:
        folder = tmp_path_factory.mktemp(name)
        model = ModelConfig(name=f"edgetrain_named_models:{name}")
        torch.manual_seed(0)
        state = build_model(model).state_dict()
        shapes = {n: TensorSpec(shape=tuple(t.shape[1:]), dtype="int64") for n, t in targets.items()}
        checkpoint = Checkpoint(model=model, state=state, inputs=specs, targets=shapes, task=task)
        save_checkpoint(folder / "model.pth", checkpoint)
        made = export(
            ExportCommand.model_validate({"export": {"max_batch_size": 8}}),
            folder / "model.pth",
            folder / "model",
            trusted=Trusted(model=model.name),
        )
        write_tensors(folder / "data.ptd", {**inputs, **targets})
        return Made(made.program, folder / "data.ptd", inputs, targets)

    return call


def draw(most: int, *shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(most)
    return torch.randint(0, most, (SAMPLES, *shape), dtype=dtype, generator=generator)


@pytest.fixture(scope="session")
def both(make: Callable[..., Made]) -> Made:
    """An image as bytes, and numbers; one class."""
    inputs = {"image": draw(256, 2, 8, 8, dtype=torch.uint8), "numbers": draw(9, 4).float()}
    specs = {"image": IMAGE, "numbers": InputSpec(shape=(4,))}
    task = TaskSpec(name="classification", loss="cross_entropy")
    return make("both", task, specs, inputs, {"kind": draw(CLASSES)})


@pytest.fixture(scope="session")
def dense(make: Callable[..., Made]) -> Made:
    """A label for every pixel, some of which count for nothing."""
    labels = draw(CLASSES, 8, 8)
    labels[:, :2] = 255
    task = TaskSpec(name="segmentation", loss="cross_entropy", ignore_index=255)
    image = {"image": draw(256, 2, 8, 8, dtype=torch.uint8)}
    return make("dense", task, {"image": IMAGE}, image, {"mask": labels})


@pytest.fixture(scope="session")
def tokens(make: Callable[..., Made]) -> Made:
    """Ids in, a label for each out."""
    labels = draw(CLASSES, LENGTH)
    labels[::3, 1] = -100
    task = TaskSpec(name="token-classification", loss="cross_entropy", ignore_index=-100)
    ids = {"ids": draw(7, LENGTH)}
    return make("tokens", task, {"ids": InputSpec(shape=(LENGTH,), dtype="int64")}, ids, {"labels": labels})


def python_run(made: Made, augmentation: Augmentation | None = None) -> list[float]:
    """The losses of two epochs in Python."""
    session = open_session("executorch", load_program(made.program))
    preprocessing = {name: spec.preprocessing for name, spec in session.manifest.inputs.items()}
    split = TensorSplit(made.inputs, made.targets)
    loader = BatchLoader(split, preprocessing, 8, shuffle=True, seed=3, augmentation=augmentation)
    stepper = make_stepper(session, OptimizerConfig(lr=0.05))
    losses = []
    for epoch in range(2):
        for batch in loader.epoch(epoch):
            (outcome,) = stepper.step([(batch.inputs, batch.targets)], 0.05)
            losses.append(outcome.loss)
    return losses


@pytest.mark.parametrize("name", ["both", "dense", "tokens"])
def test_training_is_pythons(name: str, request: pytest.FixtureRequest, run: Runner, tmp_path: Path) -> None:
    made = request.getfixturevalue(name)
    flags = ["-b", 8, "--epochs", 2, "--lr", 0.05, "--seed", 3, "--log-steps", "-o", tmp_path / "out.ptd"]
    done = run("train", made.program, "--data", made.data, *flags)
    assert done.code == 0, done.error
    assert done.losses == pytest.approx(python_run(made), rel=1e-4)


def test_accumulated_batches_count_by_their_labels(tokens: Made, run: Runner, tmp_path: Path) -> None:
    """In the first step one batch of two has a single label, in the second one none."""
    labels = tokens.targets["labels"].clone()
    labels[4:8] = labels[8:12] = -100
    labels[5, 2] = 3
    data = tmp_path / "data.ptd"
    write_tensors(data, {**tokens.inputs, "labels": labels})
    losses, counts, tuned = [], [], []
    for size, accumulate in ((8, 1), (4, 2)):
        output = tmp_path / f"{size}.ptd"
        settings = FinetuneConfig(epochs=2, batch_size=size, accumulate=accumulate, shuffle=False)
        job = Job(
            program=tokens.program,
            data=[data],
            output=output,
            finetune=settings,
            optimizer=OptimizerConfig(lr=0.05),
            log_steps=True,
        )
        save_job(tmp_path / "job.json", job)
        done = run("train", tmp_path / "job.json")
        assert done.code == 0, done.error
        losses.append(done.losses)
        counts.append([line["count"] for line in done.events("step")])
        tuned.append(read_tensors(output).tensors())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert counts[1] == counts[0]
    assert counts[0][:2] == [int((labels[i : i + 8] != -100).sum()) for i in (0, 8)]
    for name, expected in tuned[0].items():
        torch.testing.assert_close(tuned[1][name], expected, rtol=1e-5, atol=1e-6, msg=name)


def test_a_step_in_which_nothing_counts(tokens: Made, run: Runner, tmp_path: Path) -> None:
    data, output = tmp_path / "data.ptd", tmp_path / "out.ptd"
    write_tensors(data, {**tokens.inputs, "labels": torch.full_like(tokens.targets["labels"], -100)})
    flags = ["-b", 4, "--accumulate", 2, "--max-steps", 1, "--log-steps", "-o", output]
    done = run("train", tokens.program, "--data", data, *flags)
    assert done.code == 0, done.error
    assert done.losses == [0]
    before = read_tensors(tokens.program.with_suffix(".ptd")).tensors()
    assert all(torch.equal(tensor, before[name]) for name, tensor in read_tensors(output).tensors().items())


@pytest.mark.parametrize("name", ["both", "dense", "tokens"])
def test_metrics_are_the_contracts(name: str, request: pytest.FixtureRequest, run: Runner) -> None:
    made = request.getfixturevalue(name)
    session = open_session("executorch", load_program(made.program))
    metrics, meter = session.contract.metrics, Meter()
    preprocessing = {name: spec.preprocessing for name, spec in session.manifest.inputs.items()}
    for batch in BatchLoader(TensorSplit(made.inputs, made.targets), preprocessing, 8).epoch(0):
        meter.add(session.evaluate(batch.inputs, batch.targets).sums, len(batch))
    (result,) = run("evaluate", made.program, "--data", made.data).events("result")
    assert result["samples"] == SAMPLES
    assert len(metrics) > 1
    for metric in metrics:
        assert math.isfinite(result[metric.name])
        assert result[metric.name] == pytest.approx(meter.figure(metric), rel=1e-5), metric.name


def test_masks_move_with_their_images(dense: Made, run: Runner, tmp_path: Path) -> None:
    moves = {"flip": True, "crop_padding": 2}
    job = Job(
        program=dense.program,
        data=[dense.data],
        output=Path("out.ptd"),
        augmentation=AugmentationRecord(**moves, images=["image"], masks={"mask": 255}),
        finetune=FinetuneConfig(epochs=2, batch_size=8, seed=3),
        optimizer=OptimizerConfig(lr=0.05),
        log_steps=True,
    )
    save_job(tmp_path / "job.json", job)
    done = run("train", tmp_path / "job.json")
    assert done.code == 0, done.error
    expected = python_run(dense, Augmentation(**moves, images=("image",), masks={"mask": 255}))
    assert done.losses == pytest.approx(expected, rel=1e-4)
    alone = job.model_copy(update={"augmentation": AugmentationRecord(**moves, images=["picture"])})
    save_job(tmp_path / "job.json", alone)
    refused = run("train", tmp_path / "job.json")
    assert (refused.code, "picture to be an image" in refused.error) == (2, True)


def test_masks_may_be_bytes(dense: Made, run: Runner, tmp_path: Path) -> None:
    data = tmp_path / "bytes.ptd"
    write_tensors(data, {**dense.inputs, "mask": dense.targets["mask"].to(torch.uint8)})
    found, expected = (
        run("evaluate", dense.program, "--data", path).events("result")[0]["loss"]
        for path in (data, dense.data)
    )
    assert found == expected


def test_predictions(both: Made, dense: Made, tokens: Made, run: Runner) -> None:
    for line in run("predict", both.program, "--data", both.data).events("prediction"):
        # No names of classes, so no class.
        assert line.keys() == {"event", "index", "outputs", "prediction"}
        assert line["prediction"] == line["outputs"].index(max(line["outputs"]))
    first = run("predict", dense.program, "--data", dense.data).events("prediction")[0]
    assert (len(first["outputs"]), len(first["prediction"])) == (CLASSES * 64, 64)
    first = run("predict", tokens.program, "--data", tokens.data).events("prediction")[0]
    assert (len(first["outputs"]), len(first["prediction"])) == (CLASSES * LENGTH, LENGTH)


def test_info_names_the_inputs(both: Made, run: Runner) -> None:
    (line,) = run("info", both.program).events("program")
    assert list(line["inputs"]) == ["image", "numbers"]
    assert line["targets"] == {"kind": {"shape": [], "dtype": "int64"}}
    assert line["stock_kernels"] == []


def test_samples_that_do_not_fit(both: Made, dense: Made, tokens: Made, run: Runner, tmp_path: Path) -> None:
    data = tmp_path / "data.ptd"

    def refused(made: Made, **changed: torch.Tensor | None) -> str:
        tensors = {**made.inputs, **made.targets, **changed}
        write_tensors(data, {name: tensor for name, tensor in tensors.items() if tensor is not None})
        done = run("evaluate", made.program, "--data", data)
        assert done.code == 3
        return done.error

    assert "has image, kind; the program takes numbers [4] float32" in refused(both, numbers=None)
    assert "has numbers [3] float32, the program takes numbers [4]" in refused(
        both, numbers=draw(9, 3).float()
    )
    assert "has numbers [4] int64" in refused(both, numbers=draw(9, 4))
    assert "one row per sample" in refused(both, numbers=torch.zeros(3, 4))
    for bad in (7, -1):
        ids = tokens.inputs["ids"].clone()
        ids[2, 3] = bad
        assert f"sample 2 has ids {bad}, the program takes 0 to 6" in refused(tokens, ids=ids)
    labels = dense.targets["mask"].clone()
    labels[4, 5, 6] = 7
    assert "sample 4 has mask 7, the program takes 0 to 4, or 255" in refused(dense, mask=labels)
    labels = tokens.targets["labels"].clone()
    labels[2, 0] = -1
    assert "sample 2 has labels -1, the program takes 0 to 4, or -100" in refused(tokens, labels=labels)
