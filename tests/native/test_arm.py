"""The runner on an emulated 64-bit Arm. `make test-arm` builds the folder that is tested here."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.tensors import write_tensors

if not {"EDGETRAIN_AARCH64", "EDGETRAIN_EMULATOR"} <= os.environ.keys():
    pytest.skip("needs the runner for aarch64: make test-arm", allow_module_level=True)

FOLDER = Path(os.environ["EDGETRAIN_AARCH64"])
EMULATOR = shlex.split(os.environ["EDGETRAIN_EMULATOR"])
LIBRARIES = {f"libexecutorch{part}.so" for part in ("", "_etdump", "_kernels_optimized", "_threadpool")}
NAME = "edgetrain-runner"


def call(runner: Sequence[Any], *arguments: Any) -> list[dict[str, Any]]:
    """What a command writes to stdout, run without any environment variable."""
    done = subprocess.run(
        [*map(str, runner), *map(str, arguments)], capture_output=True, text=True, timeout=300, env={}
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def step_losses(lines: list[dict[str, Any]]) -> list[float]:
    return [line["loss"] for line in lines if line["event"] == "step"]


@pytest.fixture
def arm() -> tuple[Any, ...]:
    return (*EMULATOR, FOLDER / "bin" / NAME)


@dataclass(frozen=True)
class Job:
    """A program with its data, and how to train it."""

    program: Path
    train: Path
    test: Path
    flags: tuple[Any, ...]


@pytest.fixture(scope="module")
def xor(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """xor_mlp after one epoch: the device has to learn the rest."""
    from edgetrain.config.stages import ExportCommand, TrainCommand
    from edgetrain.data import load_dataset
    from edgetrain.export import export
    from edgetrain.training import train

    folder = tmp_path_factory.mktemp("xor")
    config = TrainCommand.model_validate(
        {
            "data": {"name": "xor"},
            "model": {"name": "xor_mlp"},
            "train": {"epochs": 1, "batch_size": 4, "threads": 1, "device": "cpu"},
        }
    )
    checkpoint = train(config, folder / "model.pth").checkpoint
    settings = ExportCommand.model_validate({"export": {"max_batch_size": 4}})
    program = export(settings, checkpoint, folder / "model").program
    split = load_dataset(config.data).train
    samples = split.samples(torch.arange(len(split)))
    write_tensors(folder / "data.ptd", {**samples.inputs, **samples.targets})
    flags = ("--lr", 0.5, "--batch-size", 4, "--epochs", 150)
    return Job(program, folder / "data.ptd", folder / "data.ptd", flags)


@pytest.fixture(scope="module")
def digits(digits_program: Any, packed: Any) -> Job:
    """digits_cnn for a few epochs of nine steps, the last of them on fewer samples."""
    flags = ("--lr", 0.05, "--batch-size", 24, "--epochs", 4)
    return Job(digits_program.program, packed.train, packed.test, flags)


@pytest.mark.parametrize("name", ["xor", "digits"])
def test_losses_are_those_of_x86_64(
    name: str, request: pytest.FixtureRequest, runner: Path, arm: Sequence[Any], tmp_path: Path
) -> None:
    job: Job = request.getfixturevalue(name)
    losses, evaluations = [], []
    for machine, command in (("x86-64", [runner]), ("aarch64", arm)):
        out = tmp_path / f"{machine}.ptd"
        lines = call(command, "train", job.program, "--data", job.train, "-o", out, "--log-steps", *job.flags)
        losses.append(step_losses(lines))
        (result,) = call(command, "evaluate", job.program, "-w", out, "--data", job.test)
        evaluations.append(result["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert evaluations[1] == pytest.approx(evaluations[0], rel=1e-4)
    assert losses[1][-1] < 0.7 * losses[1][0]


def test_a_resumed_run_is_bitwise_the_same(digits: Job, arm: Sequence[Any], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.ptd", tmp_path / "parts.ptd"
    common = ["train", digits.program, "--data", digits.train, "--log-steps", *digits.flags]
    at_once = call(arm, *common, "-o", whole, "--max-steps", 10)
    first = call(arm, *common, "-o", parts, "--max-steps", 4)
    second = call(arm, *common, "-o", parts, "--max-steps", 10, "--resume")
    assert [len(step_losses(lines)) for lines in (first, second)] == [4, 6]
    assert step_losses(first) + step_losses(second) == step_losses(at_once)
    assert parts.read_bytes() == whole.read_bytes()


def dynamic_section(binary: Path) -> dict[str, list[str]]:
    """What the dynamic linker reads in a binary, by tag."""
    command = ["aarch64-linux-gnu-readelf", "--dynamic", "--wide", str(binary)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    entries: dict[str, list[str]] = {}
    for line in printed.splitlines():
        if "[" in line:
            entries.setdefault(line.split("(")[1].split(")")[0], []).append(line.split("[")[1].rstrip("]"))
    return entries


def test_the_folder_has_what_the_runner_needs_and_no_more() -> None:
    assert [path.name for path in (FOLDER / "bin").iterdir()] == [NAME]
    assert {path.name for path in (FOLDER / "lib").iterdir()} == LIBRARIES
    entries = dynamic_section(FOLDER / "bin" / NAME)
    # ExecuTorch's own kernels are loaded for programs that need one, its profiler for --profile.
    linked = {"libexecutorch.so", "libexecutorch_threadpool.so"}
    assert {name for name in entries["NEEDED"] if "executorch" in name} == linked
    assert entries["RUNPATH"] == ["$ORIGIN:$ORIGIN/../lib"]


@pytest.mark.parametrize("libraries", ["lib", "bin"])
def test_the_folder_runs_where_it_is_copied_to(libraries: str, digits: Job, tmp_path: Path) -> None:
    for folder in ("bin", libraries):
        (tmp_path / folder).mkdir(exist_ok=True)
    shutil.copy(FOLDER / "bin" / NAME, tmp_path / "bin")
    for name in LIBRARIES:
        shutil.copy(FOLDER / "lib" / name, tmp_path / libraries)
    (program,) = call([*EMULATOR, tmp_path / "bin" / NAME], "info", digits.program)
    assert program["max_batch_size"] == 32
