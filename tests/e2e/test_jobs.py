"""Jobs of every shape, from data on disk to tuned weights, in all runtimes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Job = Callable[..., Any]

TWO_INPUTS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.image = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.numbers = nn.Linear(3, 8)
        self.head = nn.Linear(4 * 4 * 4 + 8, num_classes)

    def forward(self, numbers, image):
        return self.head(torch.cat([self.image(image), self.numbers(numbers).relu()], 1))
"""

SEGMENTER = """
import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Conv2d(16, num_classes, 1)
        self.aux = nn.Conv2d(8, num_classes, 1)

    def forward(self, x):
        skip = self.down(x).relu()
        deep = self.deep(functional.max_pool2d(skip, 2)).relu()
        up = functional.interpolate(deep, scale_factor=2.0, mode="nearest")
        return {"aux": self.aux(skip.detach()), "out": self.head(torch.cat([skip, up], 1))}
"""

OWN_LOSS = """
import torch
from torch import nn


class LogCosh(nn.Module):
    def forward(self, outputs, targets):
        error = outputs - targets
        return (error + torch.log1p(torch.exp(-2 * error))).mean()
"""


@pytest.mark.slow
def test_two_inputs(job: Job, tmp_path: Path) -> None:
    """An image and some numbers → class; the file has them in another order than the model."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 48)
    images = random.integers(0, 60, (48, 1, 8, 8), dtype=np.uint8)
    images[np.arange(48), 0, labels, :] += 150
    numbers = random.normal(labels[:, None], 0.5, (48, 3)).astype("f4")
    np.savez(tmp_path / "d.npz", image=images, numbers=numbers, label=labels)
    (tmp_path / "e2e_two_inputs.py").write_text(TWO_INPUTS)
    data = ["--data", "arrays", "--data-dir", "d.npz", "--inputs", "image,numbers", "--targets", "label"]
    finished = job(data, ["--lr", "0.05"], ["--model", "e2e_two_inputs:Net"])
    assert finished.tuned["torch"]["after"]["accuracy"] > 0.5


@pytest.mark.slow
def test_segmentation(job: Job, tmp_path: Path) -> None:
    """Images and masks in folders; a border of every mask counts for nothing."""
    random = np.random.default_rng(0)
    for name in ("train/images", "train/masks", "test/images", "test/masks"):
        (tmp_path / "d" / name).mkdir(parents=True)
    for index in range(30):
        mask = np.zeros((12, 12), np.uint8)
        left, top = random.integers(1, 7, 2)
        mask[top : top + 5, left : left + 5] = 1 + index % 2
        image = random.integers(0, 80, (12, 12, 3), dtype=np.uint8)
        image[..., 0][mask == 1] += 150
        image[..., 2][mask == 2] += 150
        mask[0] = 255
        part = "train" if index < 24 else "test"
        Image.fromarray(image).save(tmp_path / "d" / part / "images" / f"{index}.png")
        Image.fromarray(mask).save(tmp_path / "d" / part / "masks" / f"{index}.png")
    (tmp_path / "e2e_segmenter.py").write_text(SEGMENTER)
    data = ["--data", "image-folder", "--data-dir", "d"]
    finished = job(data, ["--lr", "0.1"], ["--model", "e2e_segmenter:Net"])
    assert {"loss", "pixel_accuracy", "mean_iou"} <= set(finished.tuned["torch"]["after"])


@pytest.mark.slow
def test_token_classification(job: Job, tmp_path: Path) -> None:
    """Whether a token is larger than the one before it; the first of each sample counts for nothing."""
    ids = np.random.default_rng(0).integers(0, 9, (60, 6))
    tags = np.concatenate([np.full((60, 1), -100), ids[:, 1:] > ids[:, :-1]], 1)
    np.savez(tmp_path / "d.npz", inputs=ids, targets=tags)
    model = ["--model", "text_transformer", "--model-arg", "vocabulary=9", "--model-arg", "tied=false"]
    model += ["--model-arg", "width=16", "--model-arg", "layers=1", "--model-arg", "causal=false"]
    finished = job(["--data", "arrays", "--data-dir", "d.npz"], [*model, "--lr", "0.1"])
    assert "token_accuracy" in finished.tuned["torch"]["after"]


@pytest.mark.slow
def test_next_token(job: Job, tmp_path: Path) -> None:
    """A small transformer, its head tied to its embedding, on the bytes of text files."""
    (tmp_path / "texts").mkdir()
    for name in ("a.txt", "b.md"):
        (tmp_path / "texts" / name).write_text(f"This is {name}. The quick brown fox. " * 12)
    data = ["--data", "text", "--data-dir", "texts", "--length", "16"]
    model = ["--model", "text_transformer", "--model-arg", "width=16", "--model-arg", "layers=1"]
    finished = job(data, [*model, "--lr", "0.1"])
    after = finished.tuned["torch"]["after"]
    assert after["perplexity"] < 256
    assert finished.trained["val_perplexity"] > after["perplexity"]


def test_regression_on_signals(job: Job, tmp_path: Path) -> None:
    """The amplitude of a noisy wave."""
    random = np.random.default_rng(0)
    amplitudes = random.uniform(0.5, 2, 60).astype("f4")
    wave = np.sin(np.linspace(0, 12, 32, dtype="f4"))
    signals = amplitudes[:, None, None] * np.stack([wave, wave[::-1]])
    signals += random.normal(0, 0.1, signals.shape)
    np.savez(tmp_path / "d.npz", inputs=signals.astype("f4"), targets=amplitudes[:, None])
    model = ["--model", "cnn1d", "--model-arg", "channels=[8]", "--model-arg", "dropout=0"]
    finished = job(["--data", "arrays", "--data-dir", "d.npz"], [*model, "--loss", "mse", "--lr", "0.02"])
    assert set(finished.tuned["torch"]["after"]) == {"loss"}


def test_a_loss_of_ones_own(job: Job, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(60, 6)).astype("f4")
    targets = (inputs @ random.normal(size=(6, 2))).astype("f4")
    np.savez(tmp_path / "d.npz", inputs=inputs, targets=targets)
    (tmp_path / "e2e_own_loss.py").write_text(OWN_LOSS)
    model = ["--model", "mlp", "--model-arg", "hidden=[8]"]
    data = ["--data", "arrays", "--data-dir", "d.npz"]
    finished = job(data, [*model, "--lr", "0.05"], ["--loss", "e2e_own_loss:LogCosh"])
    assert finished.exported["manifest"]["task"]["loss"] == "e2e_own_loss:LogCosh"
