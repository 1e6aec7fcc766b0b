"""Which data `finetune` and `bench` take where none is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgetrain.artifacts.sealed import sealed
from edgetrain.config.data import DataConfig

SYNTHETIC = {"name": "synthetic", "args": {"shape": [1, 8, 8], "classes": 10}, "seed": 3}


@pytest.fixture
def record(digits: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Writes other data into the manifest of model.pte, in the current folder."""
    monkeypatch.chdir(digits.program.parent)

    def write(data: Any) -> None:
        manifest = json.loads(digits.manifest.read_text())
        manifest["config"]["data"] = data
        digits.manifest.write_text(sealed(json.dumps(manifest)))

    return write


@pytest.fixture
def used(fake_stage: Callable[..., None]) -> list[DataConfig]:
    """The data that the stages were called with; they stop there."""
    found: list[DataConfig] = []

    def stage(config: Any, *arguments: Any, **options: Any) -> SimpleNamespace:
        found.append(config.data)
        raise KeyboardInterrupt

    fake_stage("finetuning", finetune=stage)
    fake_stage("bench", bench=stage)
    return found


@pytest.mark.parametrize("command", ["finetune", "bench"])
def test_the_data_of_the_training(
    run: Callable[..., Any], digits: Any, used: list[DataConfig], command: str
) -> None:
    """As a training leaves it, without any change to the manifest."""
    ran = run(command, digits.program, "-v")
    assert used == [DataConfig(name="digits", images_per_class=40, test_images_per_class=10)]
    assert "data: digits (as in training)\n" in ran.stderr


def test_given_options_win(run: Callable[..., Any], record: Any, used: list[DataConfig]) -> None:
    record(DataConfig(**SYNTHETIC).model_dump(mode="json"))
    Path("c.yaml").write_text("data: {seed: 5}\n")
    run("bench", "model.pte", "-c", "c.yaml", "--shift", "noise:0.1", "--data-arg", "samples=20")
    arguments = {"shape": [1, 8, 8], "classes": 10, "samples": 20}
    assert used == [DataConfig(name="synthetic", args=arguments, seed=5, shift=["noise:0.1"])]


def test_a_named_data_set_takes_nothing_over(
    run: Callable[..., Any], record: Any, used: list[DataConfig]
) -> None:
    record(DataConfig(**SYNTHETIC).model_dump(mode="json"))
    ran = run("finetune", "model.pte", "--data", "digits", "-v")
    assert used == [DataConfig(name="digits")]
    assert "as in training" not in ran.stderr


def test_nothing_is_downloaded_because_a_file_says_so(
    run: Callable[..., Any], record: Any, used: list[DataConfig]
) -> None:
    record(DataConfig(name="cifar10").model_dump(mode="json"))
    for more in ([], ["--data-dir", "."]):
        ran = run("finetune", "model.pte", *more)
        assert (ran.code, ran.stderr) == (
            3,
            "error: model.pte was trained on cifar10, which is not here; name the data with --data, and with "
            "--data-dir where it lies\n",
        )
    assert not used


def test_data_that_lies_elsewhere(run: Callable[..., Any], record: Any, used: list[DataConfig]) -> None:
    record(DataConfig(name="cifar10", root="/nowhere/cifar").model_dump(mode="json"))
    ran = run("finetune", "model.pte")
    assert (ran.code, ran.stderr) == (
        3,
        "error: model.pte was trained on cifar10 in /nowhere/cifar, which is not here; name the data with "
        "--data, and with --data-dir where it lies\n",
    )
    assert not used
    Path("here/cifar-10-batches-py").mkdir(parents=True)
    run("finetune", "model.pte", "--data-dir", "here")
    assert used == [DataConfig(name="cifar10", root="here")]


@pytest.mark.parametrize("data", [{"name": "imagenet", "args": {}}, {"name": "digits"}, [1], "digits"])
def test_data_of_another_edgetrain(
    run: Callable[..., Any], record: Any, used: list[DataConfig], data: Any
) -> None:
    record(data)
    ran = run("bench", "model.pte")
    assert ran.code == 3
    assert "model.pte was trained on data this edgetrain doesn't know; name the data" in ran.stderr
    assert not used


def test_without_a_record(run: Callable[..., Any], record: Any, used: list[DataConfig]) -> None:
    record(None)
    run("finetune", "model.pte")
    assert used == [DataConfig()]
