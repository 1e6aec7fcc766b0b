"""The runner trains programs whose update is in the graph, and takes their gradients where it has to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgetrain.artifacts.checkpoint import Checkpoint, save_checkpoint
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import FIRST, SECOND, load_run
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec, TensorSpec
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.config.model import ModelConfig
from edgetrain.config.optimizer import OptimizerConfig, ScheduleConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.engine.program_optimizer import why_outside, with_own_settings
from edgetrain.engine.schedules import learning_rate
from edgetrain.export import export
from edgetrain.models import build_model
from edgetrain.runtimes import open_session
from edgetrain.runtimes.stepping import make_stepper

Runner = Callable[..., Any]
Export = Callable[..., Path]
SAMPLES, STEPS, BATCH = 40, 20, 8
INSIDE = "the weights are updated in the graph"
OUTSIDE = "the weights are updated outside of the graph"
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"momentum": 0.0, "weight_decay": 0.01},
    "momentum": {},
    "nesterov": {"nesterov": True, "weight_decay": 0.01},
    "dampening": {"dampening": 0.3},
    "adam": {"name": "adam", "lr": 0.003, "weight_decay": 0.1, "beta1": 0.8},
    "adamw": {"name": "adamw", "lr": 0.003, "weight_decay": 0.1},
    "groups": {"groups": {"layers.0.*": 0.001, "*.bias": 0.05}},
}
SLOW = [name for name in OPTIMIZERS if name not in ("nesterov", "adamw")]


@pytest.fixture(scope="session")
def export_mlp(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Exports an mlp on 6 numbers for 3 classes and batches of up to 16, each optimizer once."""
    folder = tmp_path_factory.mktemp("update")
    torch.manual_seed(0)
    config = ModelConfig(name="mlp", args={"in_features": 6, "num_classes": 3, "hidden": [9]})
    checkpoint = Checkpoint(
        model=config,
        state=build_model(config).state_dict(),
        inputs={INPUTS: InputSpec(shape=(6,))},
        targets={TARGETS: TensorSpec(shape=(), dtype="int64")},
        task=TaskSpec(name="classification", loss="cross_entropy", classes=("a", "b", "c")),
    )
    save_checkpoint(folder / "model.pth", checkpoint)
    made: dict[str, Path] = {}

    def call(optimizer: str, **settings: Any) -> Path:
        name = "-".join([optimizer, *map(str, settings.values())])
        if name not in made:
            chosen = {"optimizer": OPTIMIZERS[optimizer], "export": {"max_batch_size": 16, **settings}}
            command = ExportCommand.model_validate(chosen)
            made[name] = export(command, folder / "model.pth", folder / name).program
        return made[name]

    return call


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data.ptd"
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(SAMPLES, 6, generator=generator)
    write_tensors(path, {"inputs": inputs, "targets": torch.randint(0, 3, (SAMPLES,), generator=generator)})
    return path


def batches(data: Path, size: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """In the file's order, again and again."""
    found = read_tensors(data).tensors()
    while True:
        for inputs, targets in zip(found["inputs"].split(size), found["targets"].split(size), strict=True):
            yield {INPUTS: inputs}, {TARGETS: targets}


def eager(
    program: Path,
    data: Path,
    config: OptimizerConfig,
    size: int = BATCH,
    accumulate: int = 1,
    schedule: ScheduleConfig | None = None,
) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and weights of torch.optim's steps in eager PyTorch. Batches that make a step are all full."""
    session = open_session("torch", load_program(program))
    stepper, losses, stream = make_stepper(session, config, accumulate), [], batches(data, size)
    per_epoch = -(-SAMPLES // size) // accumulate
    for step in range(STEPS):
        lr = learning_rate(schedule or ScheduleConfig(), config.lr, step, STEPS, per_epoch)
        outcomes = stepper.step([next(stream) for _ in range(accumulate)], lr)
        losses.append(sum(outcome.loss for outcome in outcomes) / accumulate)
    return losses, session.changed_tensors()


def assert_same(done: Any, out: Path, expected: tuple[list[float], dict[str, Tensor]]) -> None:
    losses, weights = expected
    assert done.losses == pytest.approx(losses, rel=1e-6)
    tuned = read_tensors(out).tensors()
    for name, weight in weights.items():
        assert (tuned[name] - weight).norm() <= 1e-6 * weight.norm(), name


def flags(data: Path, out: Path, *more: Any, size: int = BATCH, steps: int = STEPS) -> list[Any]:
    common = ["--data", data, "-o", out, "--no-shuffle", "--epochs", 99, "--max-steps", steps, "--log-steps"]
    return [*common, "--batch-size", size, *more]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow, pytest.mark.thorough] if n in SLOW else [])
        for n in OPTIMIZERS
    ],
)
def test_updates_are_those_of_torch(
    export_mlp: Export, data: Path, run: Runner, tmp_path: Path, name: str
) -> None:
    """With nothing said but the learning rate, the rest is the program's own."""
    program, out = export_mlp(name), tmp_path / "out.ptd"
    config = OptimizerConfig(**OPTIMIZERS[name])
    done = run("train", program, *flags(data, out, "--lr", config.lr))
    assert (done.code, done.said[0]) == (0, INSIDE)
    assert_same(done, out, eager(program, data, config))
    state = load_run(out.with_suffix(".state.ptd"))
    assert OptimizerConfig.model_validate(state.record.config["optimizer"]) == config
    assert state.record.optimizer_steps == STEPS
    trained = set(load_program(program).manifest.contract.trainable)
    assert set(state.first) == (trained if config.name != "sgd" or config.momentum else set())
    assert set(state.second) == (trained if config.name != "sgd" else set())


def test_rates_of_a_schedule(export_mlp: Export, data: Path, run: Runner, tmp_path: Path) -> None:
    program, out = export_mlp("nesterov"), tmp_path / "out.ptd"
    schedule = ["--schedule", "cosine", "--warmup-steps", 3]
    done = run("train", program, *flags(data, out, "--lr", 0.05, *schedule))
    config = OptimizerConfig(**{**OPTIMIZERS["nesterov"], "lr": 0.05})
    chosen = ScheduleConfig(name="cosine", warmup_steps=3)
    assert_same(done, out, eager(program, data, config, schedule=chosen))


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        (["--clip-norm", 0.1], {"clip_norm": 0.1}),
        (["--momentum", 0.5], {"momentum": 0.5}),
        (["--optimizer", "adam"], {"name": "adam", "nesterov": False, "weight_decay": 0.0}),
        (["--group", "*.bias=0.1"], {"groups": {"*.bias": 0.1}}),
        (["--accumulate", 5], {}),
    ],
    ids=str,
)
def test_what_the_graph_can_not_do(
    export_mlp: Export, data: Path, run: Runner, tmp_path: Path, given: list[Any], changed: dict[str, Any]
) -> None:
    program, out = export_mlp("nesterov"), tmp_path / "out.ptd"
    accumulate = 5 if "--accumulate" in given else 1
    config = OptimizerConfig(**{**OPTIMIZERS["nesterov"], **changed})
    done = run("train", program, *flags(data, out, *given))
    why = why_outside(load_program(program).manifest.contract, config, accumulate)
    assert done.said[0] == f"{OUTSIDE}: {why}"
    assert_same(done, out, eager(program, data, config, accumulate=accumulate))


# One change of each setting, as flags, and as a configuration.
CHANGES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "name": (["--optimizer", "adam"], {"name": "adam"}),
    "momentum": (["--momentum", 0.5], {"momentum": 0.5}),
    "dampening": (["--dampening", 0.25, "--no-nesterov"], {"dampening": 0.25, "nesterov": False}),
    "nesterov": (["--no-nesterov"], {"nesterov": False}),
    "weight_decay": (["--weight-decay", 0.03], {"weight_decay": 0.03}),
    "beta1": (["--beta1", 0.7], {"beta1": 0.7}),
    "beta2": (["--beta2", 0.99], {"beta2": 0.99}),
    "eps": (["--eps", 1e-6], {"eps": 1e-6}),
    "clip_norm": (["--clip-norm", 0.1], {"clip_norm": 0.1}),
    "groups": (["--group", "*.bias=0.1"], {"groups": {"*.bias": 0.1}}),
    "lr": (["--lr", 0.02], {"lr": 0.02}),
}


@pytest.mark.parametrize("own", ["nesterov", "adamw"])
def test_both_runtimes_have_the_same_reasons(
    export_mlp: Export, data: Path, run: Runner, tmp_path: Path, own: str
) -> None:
    """Every setting there is makes the same difference, or none, and is called the same."""
    assert CHANGES.keys() == OptimizerConfig.model_fields.keys()
    program = export_mlp(own)
    contract = load_program(program).manifest.contract
    found: dict[str, str | None] = {}
    for setting, (given, config) in CHANGES.items():
        done = run("train", program, *flags(data, tmp_path / f"{setting}.ptd", *given, steps=1))
        asked = with_own_settings(OptimizerConfig.model_validate(config), contract)
        found[setting] = why_outside(contract, asked)
        expected = INSIDE if found[setting] is None else f"{OUTSIDE}: {found[setting]}"
        assert (done.code, done.said[0]) == (0, expected), setting
    inside = ["beta1", "beta2", "eps"] if own == "nesterov" else ["momentum", "dampening", "nesterov"]
    assert [setting for setting, why in found.items() if why is None] == [*inside, "lr"]


def test_a_program_that_keeps_its_gradients(
    export_mlp: Export, data: Path, run: Runner, tmp_path: Path
) -> None:
    program, out = export_mlp("nesterov", update_in_graph="on"), tmp_path / "out.ptd"
    assert run("train", program, *flags(data, out)).code == 0
    out.unlink()
    done = run("train", program, *flags(data, out, "--clip-norm", 1))
    assert (done.code, out.exists()) == (2, False)
    assert "clip_norm needs all gradients of a step at once, but the program keeps" in done.error
    command = ["bench", program, "--data", data, "--batch-size", BATCH]
    assert run(*command, input="2\n").code == 0
    refused = run(*command, "--gradients", tmp_path / "gradients.ptd", input="2\n")
    assert (refused.code, "leave --gradients out" in refused.error) == (2, True)


@pytest.mark.parametrize(
    ("cut", "settings"), [(3, {}), (5, {}), (3, {"micro_batch": 3}), (5, {"micro_batch": 3})], ids=str
)
@pytest.mark.promise("A resumed run is bit for bit the run without interruption")
def test_resumed_runs_are_bitwise_the_same(
    export_mlp: Export, data: Path, run: Runner, tmp_path: Path, cut: int, settings: dict[str, Any]
) -> None:
    """Within an epoch, and between two; of batches in parts, too."""
    program, whole, parts = export_mlp("adamw", **settings), tmp_path / "whole.ptd", tmp_path / "parts.ptd"
    at_once = run("train", program, *flags(data, whole, steps=9))
    first = run("train", program, *flags(data, parts, steps=cut))
    second = run("train", program, *flags(data, parts, "--resume", steps=9))
    assert first.losses + second.losses == at_once.losses
    assert parts.read_bytes() == whole.read_bytes()
    ours, theirs = (load_run(path.with_suffix(".state.ptd")) for path in (whole, parts))
    assert ours.record.optimizer_steps == theirs.record.optimizer_steps == 9
    for name, moment in ours.second.items():
        assert torch.equal(moment, theirs.second[name])


def test_a_state_without_a_moment_is_refused(
    export_mlp: Export, data: Path, run: Runner, tmp_path: Path
) -> None:
    program, out = export_mlp("adamw"), tmp_path / "out.ptd"
    assert run("train", program, *flags(data, out, steps=3)).code == 0
    state = out.with_suffix(".state.ptd")
    file = read_tensors(state)
    for prefix in (FIRST, SECOND):
        missing = prefix + "layers.0.weight"
        for tensors in (
            {name: tensor for name, tensor in file.tensors().items() if name != missing},
            {**file.tensors(), missing: torch.zeros(1)},
        ):
            write_tensors(state, tensors, metadata=file.metadata)
            done = run("train", program, *flags(data, out, "--resume", steps=9))
            assert (done.code, "no usable state" in done.error) == (3, True)


def test_a_loss_that_is_not_finite_ends_the_run(
    export_mlp: Export, data: Path, run: Runner, tmp_path: Path
) -> None:
    program, out = export_mlp("nesterov"), tmp_path / "out.ptd"
    done = run("train", program, *flags(data, out, "--lr", 1e20))
    assert (done.code, done.said[0], out.exists()) == (4, INSIDE, False)
    assert "no new weights were written" in done.error


@pytest.mark.parametrize(
    ("part", "more"), [(4, []), (4, ["--accumulate", 2]), (4, ["--clip-norm", 0.1]), (1, [])], ids=str
)
def test_batches_in_parts(
    export_mlp: Export, data: Path, run: Runner, tmp_path: Path, part: int, more: list[Any]
) -> None:
    """10 samples, as in parts of 4, 4 and 2, are one step as the whole batch is, in the graph and outside."""
    program, out = export_mlp("nesterov", micro_batch=part), tmp_path / "out.ptd"
    done = run("train", program, *flags(data, out, *more, size=10))
    clip = 0.1 if "--clip-norm" in more else None
    assert (done.said[0] == INSIDE) == (clip is None)
    config = OptimizerConfig(**OPTIMIZERS["nesterov"], clip_norm=clip)
    accumulate = 2 if "--accumulate" in more else 1
    assert_same(done, out, eager(program, data, config, 10, accumulate))
    large, small = (
        run("evaluate", program, "-w", out, "--data", data, "--batch-size", size).events("result")[0]["loss"]
        for size in (40, 3)
    )
    assert large == pytest.approx(small, rel=1e-6)
    assert len(run("predict", program, "--data", data).events("prediction")) == SAMPLES


def test_bench_takes_the_graphs_steps(noisy_program: Any, run: Runner, tmp_path: Path) -> None:
    """Gradients of the first batch are told beforehand, and leave neither weights nor statistics changed."""
    manifest = load_program(noisy_program.program).manifest
    (shape,) = (spec.shape for spec in manifest.inputs.values())
    samples = tmp_path / "samples.ptd"
    write_tensors(samples, {"inputs": torch.randn(16, *shape), "targets": torch.arange(16) % 10})
    command = ["bench", noisy_program.program, "--data", samples, "--batch-size", 8]
    plain = run(*command, input="4\n")
    told = run(*command, "--gradients", tmp_path / "gradients.ptd", input="4\n")
    outside = run(*command, "--clip-norm", 1e9, input="4\n")
    assert [done.events("ready")[0]["update"] for done in (plain, told, outside)] == [
        "graph",
        "graph",
        "outside",
    ]
    losses = [done.events("steps")[0]["losses"] for done in (plain, told, outside)]
    assert losses[0] == losses[1] == pytest.approx(losses[2], rel=1e-5)
    gradients = read_tensors(tmp_path / "gradients.ptd").tensors()
    assert list(gradients) == manifest.contract.trainable


@pytest.mark.slow
def test_a_step_of_cifar_cnn_takes_little_memory(
    cifar_program: Path, run: Runner, is_sanitized: bool, tmp_path: Path
) -> None:
    if is_sanitized:
        pytest.skip("sanitizers take memory of their own")
    samples = tmp_path / "samples.ptd"
    write_tensors(samples, {"inputs": torch.randn(8, 3, 32, 32), "targets": torch.arange(8)})
    done = run("train", cifar_program, "--data", samples, "-o", tmp_path / "out.ptd", "--batch-size", 4)
    assert done.events("result")[0]["peak_rss_bytes"] <= 25e6
