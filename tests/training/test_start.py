import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.artifacts.checkpoint import Checkpoint, load_checkpoint
from edgetrain.artifacts.specs import Preprocessing
from edgetrain.artifacts.transforms import KeptChannels, KeptZeros, Layer, ReplacedLayer, SetAttributes
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import TrainCommand
from edgetrain.errors import InputError, InterruptedRun, UsageError
from edgetrain.models import build_model
from edgetrain.models.transforms import apply_transforms
from edgetrain.training import train

Make = Callable[..., TrainCommand]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small: Make) -> Checkpoint:
    folder = tmp_path_factory.mktemp("trained")
    return load_checkpoint(train(small(), folder / "m.pth").checkpoint)


def changed(start: Checkpoint) -> Checkpoint:
    """Fewer hidden units, another activation, zeros that are to stay."""
    kept = tuple(range(0, 24, 2))
    linears = [n for n, m in build_model(start.model).named_modules() if isinstance(m, nn.Linear)]
    relu = next(n for n, m in build_model(start.model).named_modules() if isinstance(m, nn.ReLU))
    first, second = linears
    transforms = (
        ReplacedLayer(module=relu, by=Layer(type="Hardswish")),
        KeptChannels(tensor=f"{first}.weight", kept={0: kept}),
        KeptChannels(tensor=f"{first}.bias", kept={0: kept}),
        KeptChannels(tensor=f"{second}.weight", kept={1: kept}),
        SetAttributes(module=first, values={"out_features": 12}),
        SetAttributes(module=second, values={"in_features": 12}),
        KeptZeros(module=first, pattern="unstructured"),
    )
    state = dict(start.state)
    state[f"{first}.weight"] = state[f"{first}.weight"][list(kept)].clone()
    state[f"{first}.weight"][:, ::2] = 0
    state[f"{first}.bias"] = state[f"{first}.bias"][list(kept)].clone()
    state[f"{second}.weight"] = state[f"{second}.weight"][:, list(kept)].clone()
    return replace(start, state=state, transforms=transforms)


def test_starts_from_the_weights(tmp_path: Path, small: Make, trained: Checkpoint) -> None:
    config = small(train={"epochs": 1, "max_steps": 1})
    config = config.model_copy(update={"optimizer": config.optimizer.model_copy(update={"lr": 1e-30})})
    result = load_checkpoint(train(config, tmp_path / "m.pth", start=trained).checkpoint)
    assert result.model == trained.model
    for name, tensor in trained.state.items():
        assert torch.equal(result.state[name], tensor), name


def test_trains_what_was_done_to_a_model(tmp_path: Path, small: Make, trained: Checkpoint) -> None:
    start = changed(trained)
    result = load_checkpoint(train(small(), tmp_path / "m.pth", start=start).checkpoint)
    assert result.transforms == start.transforms
    name = next(iter(result.state))
    zeros = start.state[name] == 0
    assert (result.state[name][zeros] == 0).all(), "pruned weights stay zero"
    assert not torch.equal(result.state[name], start.state[name])
    apply_transforms(build_model(result.model), result.transforms).load_state_dict(result.state)


class Halving:
    """Changes the model after each step, and is settled after half of them."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {"name": "halving"}
        self.steps: list[int] = []

    def after_step(self, model: nn.Module, step: int, total: int) -> None:
        self.steps.append(step)
        with torch.no_grad():
            next(model.parameters())[0] *= 0.5

    def settled(self, step: int, total: int) -> bool:
        return step * 2 > total


def test_a_hook_follows_every_step(tmp_path: Path, small: Make, trained: Checkpoint) -> None:
    hook = Halving()
    result = train(small(), tmp_path / "m.pth", start=trained, hook=hook)
    assert hook.steps == list(range(1, result.history.epochs[-1].steps + 1))
    best = result.history.epochs[result.best_epoch - 1]
    assert hook.settled(best.steps, hook.steps[-1]), "no epoch counts as the best before that"


@pytest.mark.promise("A resumed run is bit for bit the run without interruption")
def test_resumes_with_start_and_hook_exactly(
    tmp_path: Path, small: Make, trained: Checkpoint, recorder: Callable[..., Any]
) -> None:
    start = changed(trained)
    whole = load_checkpoint(train(small(), tmp_path / "a.pth", start=start, hook=Halving()).last)
    with pytest.raises(InterruptedRun):
        train(
            small(),
            tmp_path / "b.pth",
            start=start,
            hook=Halving(),
            reporter=recorder(lambda step: os.kill(os.getpid(), signal.SIGINT) if step == 5 else None),
        )
    with pytest.raises(UsageError, match="start"):
        train(small(), tmp_path / "b.pth", start=trained, hook=Halving(), resume=True)
    result = train(small(), tmp_path / "b.pth", start=start, hook=Halving(), resume=True)
    resumed = load_checkpoint(result.last)
    assert all(torch.equal(resumed.state[name], tensor) for name, tensor in whole.state.items())


def test_misfits_are_told(tmp_path: Path, small: Make, trained: Checkpoint) -> None:
    other = {"shape": [4], "classes": 3, "samples": 64, "test_samples": 32}
    data = {"name": "synthetic", "args": other, "images_per_class": None, "test_images_per_class": None}
    config = small().model_dump(exclude_unset=True)
    with pytest.raises(UsageError, match="takes inputs of \\[1, 8, 8\\] float32, the data has \\[4\\]"):
        train(TrainCommand.model_validate({**config, "data": data}), tmp_path / "m.pth", start=trained)
    named = small().model_copy(update={"model": ModelConfig(name="xor_mlp")})
    with pytest.raises(UsageError, match="is a mlp, not a xor_mlp; leave out --model"):
        train(named, tmp_path / "m.pth", start=trained)
    custom = replace(trained, model=ModelConfig(name="os:system"))
    unnamed = small().model_copy(update={"model": ModelConfig()})
    with pytest.raises(InputError, match="os:system"):
        train(unnamed, tmp_path / "m.pth", start=custom)
    assert not (tmp_path / "m.pth").exists()


def test_inputs_are_prepared_as_the_checkpoint_says(tmp_path: Path, small: Make, trained: Checkpoint) -> None:
    """Whatever the data alone would suggest: the weights were learned so."""
    own = Preprocessing(scale=0.125, mean=(0.25,), std=(0.5,))
    spec = trained.inputs["inputs"].model_copy(update={"preprocessing": own})
    start = replace(trained, inputs={"inputs": spec})
    config = small(train={"epochs": 1, "max_steps": 1})
    result = load_checkpoint(train(config, tmp_path / "m.pth", start=start).checkpoint)
    assert result.inputs == start.inputs
