"""Parts of the runner that need no program."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.specs import INPUTS, Preprocessing
from edgetrain.config.optimizer import OptimizerConfig, ScheduleConfig
from edgetrain.data import BatchLoader
from edgetrain.data.base import TensorSplit
from edgetrain.engine.schedules import learning_rate

STEPS, COUNT = 50, 1001


def test_hashes_random_numbers_and_json(native_build: Path) -> None:
    done = subprocess.run([native_build / "parts_test"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("count", "seed", "epoch"), [(1, 0, 0), (10, 0, 1), (1000, 7, 3), (5001, 2**40, 12)])
def test_the_order_is_that_of_the_other_runtimes(
    native_build: Path, count: int, seed: int, epoch: int
) -> None:
    split = TensorSplit.of(torch.arange(count, dtype=torch.float32).reshape(-1, 1), torch.zeros(count))
    batches = BatchLoader(split, {INPUTS: Preprocessing()}, 64, shuffle=True, seed=seed).epoch(epoch)
    expected = torch.cat([b.inputs[INPUTS] for b in batches]).flatten().int().tolist()
    command = [native_build / "parts_test", str(count), str(seed), str(epoch)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [int(line) for line in printed.split()] == expected


# By flag; what is left out has its default.
SETTINGS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0},
    "sgd-decay": {"momentum": 0, "weight-decay": 0.01},
    "sgd-momentum": {},
    "sgd-dampening": {"dampening": 0.3, "weight-decay": 0.01},
    "sgd-nesterov": {"nesterov": "true", "weight-decay": 0.01},
    "sgd-clipped": {"clip-norm": 2.0},
    "sgd-cosine": {"schedule": "cosine", "warmup-steps": 7},
    "sgd-step": {"schedule": "step", "gamma": 0.5},
    "adam": {"optimizer": "adam", "lr": 0.003},
    "adam-decay": {
        "optimizer": "adam",
        "lr": 0.003,
        "weight-decay": 0.1,
        "beta1": 0.8,
        "beta2": 0.99,
        "eps": 1e-6,
    },
    "adam-clipped": {"optimizer": "adam", "lr": 0.003, "clip-norm": 2.0},
    "adamw": {"optimizer": "adamw", "lr": 0.003, "weight-decay": 0.1},
    "adamw-cosine": {"optimizer": "adamw", "lr": 0.003, "schedule": "cosine", "warmup-steps": 5},
}


@pytest.mark.parametrize("case", SETTINGS)
def test_optimizers_do_what_torch_does(native_build: Path, case: str) -> None:
    flags = {"lr": 0.05, **SETTINGS[case]}
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(COUNT, generator=generator)
    gradients = torch.randn(STEPS, COUNT, generator=generator)
    command = [str(x) for x in (STEPS, COUNT, *(part for flag in flags.items() for part in flag))]
    done = subprocess.run(
        [native_build / "optimizer_steps", *command],
        input=values.numpy().tobytes() + gradients.numpy().tobytes(),
        capture_output=True,
        check=True,
    )
    found = torch.frombuffer(bytearray(done.stdout), dtype=torch.float32)

    optimizing, scheduling = {}, {}
    for flag, value in flags.items():
        section = scheduling if flag in ("schedule", "warmup-steps", "gamma") else optimizing
        section["name" if flag in ("optimizer", "schedule") else flag.replace("-", "_")] = value
    s, schedule = OptimizerConfig.model_validate(optimizing), ScheduleConfig.model_validate(scheduling)
    half = COUNT // 2
    parameters = [torch.nn.Parameter(values[:half].clone()), torch.nn.Parameter(values[half:].clone())]
    optimizer: torch.optim.Optimizer
    if s.name == "sgd":
        keys = ("lr", "momentum", "dampening", "weight_decay", "nesterov")
        optimizer = torch.optim.SGD(parameters, **{key: getattr(s, key) for key in keys})
    else:
        kind = torch.optim.Adam if s.name == "adam" else torch.optim.AdamW
        betas = (s.beta1, s.beta2)
        optimizer = kind(parameters, lr=s.lr, betas=betas, eps=s.eps, weight_decay=s.weight_decay)
    for step in range(STEPS):
        for parameter, gradient in zip(parameters, gradients[step].split([half, COUNT - half]), strict=True):
            parameter.grad = gradient.clone()
        if s.clip_norm:
            torch.nn.utils.clip_grad_norm_(parameters, s.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(schedule, s.lr, step, STEPS, 10)
        optimizer.step()
    expected = torch.cat([p.detach() for p in parameters])
    error = (found - expected).abs().max() / expected.abs().max()
    assert error < 1e-6, f"{case}: relative error {error:.1e}"
