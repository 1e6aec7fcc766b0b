"""Random masks in the runner: a step with the very numbers that were drawn, in eager PyTorch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec, TensorSpec
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.config.model import ModelConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.export import export
from edgetrain.factories import Trusted
from edgetrain.upstream.operators import operators_run_by

sys.path.insert(0, str(Path(__file__).parent / "kernels"))
from philox_reference import normal, uniform

aten = torch.ops.aten
CODE = '''
import torch
from torch import nn

class Branch(nn.Module):
    """Stochastic depth, in the two ways that people write it."""
    def __init__(self, p, rand):
        super().__init__()
        self.linear, self.p, self.rand = nn.Linear(12, 12), p, rand
    def forward(self, x):
        y = torch.relu(self.linear(x))
        if not self.training:
            return x + y
        keep, shape = 1 - self.p, (x.shape[0],) + (1,) * (x.dim() - 1)
        if self.rand:
            return x + y / keep * torch.floor(keep + torch.rand(shape, dtype=x.dtype))
        return x + y * x.new_empty(shape).bernoulli_(keep) / keep

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.branches = nn.Sequential(Branch(0.3, True), Branch(0.4, False))
        self.drops = nn.Sequential(nn.Dropout(0.2), nn.AlphaDropout(0.1), nn.Dropout(0.3, inplace=True))
        self.channels = nn.Dropout1d(0.4)
        self.head = nn.Linear(12, 3)
    def forward(self, x):
        x = self.branches(self.first(x))
        if self.training:
            x = x + 0.3 * torch.randn_like(x)
        x = self.channels(self.drops(x * 1.0).reshape(-1, 4, 3))
        return self.head(x.flatten(1))

def make(**arguments):
    return Net()
'''
NAME = "edgetrain_test_masks:make"


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.pth, model.pte, ... and data.ptd in a folder."""
    folder = tmp_path_factory.mktemp("masked")
    (folder / "edgetrain_test_masks.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    torch.manual_seed(0)
    state = make_model().state_dict()
    checkpoint = Checkpoint(
        model=ModelConfig(name=NAME),
        state=state,
        inputs={INPUTS: InputSpec(shape=(6,))},
        targets={TARGETS: TensorSpec(shape=(), dtype="int64")},
        task=TaskSpec(name="classification", loss="cross_entropy", classes=("a", "b", "c")),
    )
    save_checkpoint(folder / "model.pth", checkpoint)
    command = ExportCommand.model_validate({"export": {"max_batch_size": 5}})
    export(command, folder / "model.pth", folder / "model", trusted=Trusted(model=NAME))
    data = {"inputs": torch.randn(20, 6), "targets": torch.randint(0, 3, (20,))}
    write_tensors(folder / "data.ptd", data)
    return folder


def make_model() -> nn.Module:
    from edgetrain_test_masks import make

    model: nn.Module = make()
    return model


class Replayed:
    """Operators in eager PyTorch, with the random numbers of a step of the runner."""

    def __init__(self, seed: int, step: int) -> None:
        self.seed, self.step, self.calls = seed, step, 0

    def __call__(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        from edgetrain.engine.distributions import DISTRIBUTIONS, IN_PLACE

        if operator in (aten.rand.default, aten.randn.default, aten.native_dropout.default):
            key, self.calls = (self.seed, self.step, self.calls), self.calls + 1
            if operator is aten.native_dropout.default:
                x, p, _ = args
                kept = uniform(list(x.shape), *key) >= p
                return x * kept / (1 - p), kept
            return (normal if operator is aten.randn.default else uniform)(list(args[0]), *key)
        made = DISTRIBUTIONS.get(operator) or IN_PLACE.get(operator)
        if made is None:
            return operator(*args, **kwargs)
        with operators_run_by(self):
            drawn = made(*args, **kwargs)
        return args[0].copy_(drawn) if operator in IN_PLACE else drawn


def eager_steps(folder: Path, steps: int, seed: int) -> dict[str, Tensor]:
    """SGD with batches of 5 in order and a rate of 0.1."""
    data = read_tensors(folder / "data.ptd").tensors()
    model = make_model()
    model.load_state_dict(load_checkpoint(folder / "model.pth").state)
    # On a CPU, PyTorch's own dropout draws what is kept, and the program's what is dropped.
    model.drops[0].forward = lambda x: aten.native_dropout(x, 0.2, True)[0]  # type: ignore[index,union-attr]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(steps):
        rows = slice(5 * step, 5 * step + 5)
        model.train()
        with operators_run_by(Replayed(seed, step)):
            outputs = model(data["inputs"][rows])
        optimizer.zero_grad()
        nn.functional.cross_entropy(outputs, data["targets"][rows]).backward()
        optimizer.step()
    return {name: p.detach() for name, p in model.named_parameters()}


FLAGS = ["--batch-size", 5, "--lr", 0.1, "--momentum", 0, "--no-shuffle", "--log-steps"]


def test_gradients_belong_to_the_masks_that_were_drawn(
    masked: Path, run: Callable[..., Any], tmp_path: Path
) -> None:
    for seed in (0, 7):
        tuned = tmp_path / f"{seed}.ptd"
        flags = [*FLAGS, "--max-steps", 3, "--seed", seed]
        done = run("train", masked / "model.pte", "--data", masked / "data.ptd", "-o", tuned, *flags)
        assert done.code == 0, done.said
        found = read_tensors(tuned).tensors()
        for name, tensor in eager_steps(masked, 3, seed).items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.promise("A resumed run is bit for bit the run without interruption")
def test_a_resumed_run_draws_what_an_uninterrupted_one_does(
    masked: Path, run: Callable[..., Any], tmp_path: Path
) -> None:
    base = ["train", masked / "model.pte", "--data", masked / "data.ptd", *FLAGS, "--seed", 3]
    whole, parts = tmp_path / "whole.ptd", tmp_path / "parts.ptd"
    assert run(*base, "-o", whole, "--epochs", 2).code == 0
    assert run(*base, "-o", parts, "--epochs", 1).code == 0
    assert run(*base, "-o", parts, "--epochs", 2, "--resume").code == 0
    assert whole.read_bytes() == parts.read_bytes()


def test_evaluation_draws_nothing(masked: Path, run: Callable[..., Any]) -> None:
    command = ["evaluate", masked / "model.pte", "--data", masked / "data.ptd", "--batch-size", 5]
    losses = [run(*command).lines[-1]["loss"] for _ in range(2)]
    assert losses[0] == losses[1]
    data = read_tensors(masked / "data.ptd").tensors()
    model = make_model()
    model.load_state_dict(load_checkpoint(masked / "model.pth").state)
    with torch.no_grad():
        expected = nn.functional.cross_entropy(model.eval()(data["inputs"]), data["targets"])
    assert losses[0] == pytest.approx(float(expected), rel=1e-5)
