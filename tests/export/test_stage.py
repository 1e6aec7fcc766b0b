"""Whole exports: what is written, that it is right, and that nothing is written when it is not."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import export_models as models
import pytest
import torch
from torch import nn

from edgetrain.artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgetrain.artifacts.manifest import load_manifest
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import FIRST
from edgetrain.artifacts.specs import INPUTS, TARGETS, InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.config.stages import ExportCommand
from edgetrain.errors import CheckFailedError, EdgetrainError, InputError, UsageError
from edgetrain.export import ExportResult, decompositions, export, stage
from edgetrain.export.capture import export_graph
from edgetrain.export.pipeline import Captured
from edgetrain.export.planning import lower_captured
from edgetrain.export.recipes import inference_recipe
from edgetrain.factories import Trusted
from edgetrain.models import build_model, resolve_model
from edgetrain.runtimes import open_session

THOROUGH = (pytest.mark.slow, pytest.mark.thorough)


def run_export(
    folder: Path, kind: type[nn.Module], task: TaskSpec = models.CLASSES, **settings: Any
) -> ExportResult:
    checkpoint = models.write_checkpoint(folder / "model.pth", kind, task)
    config = ExportCommand.model_validate({"export": settings})
    return export(config, checkpoint, folder / "model", trusted=Trusted(models.factory_name(kind)))


def assert_verified(result: ExportResult, *, deep: bool = False) -> None:
    """`deep`: with so many ReLUs, a large batch always has one near its kink, and eager's noise may count."""
    found = result.verification
    errors = [
        found.loss,
        found.gradients,
        found.weights_after_steps,
        found.predict_after_steps,
        found.predictions,
        found.metrics,
    ]
    assert (found.gradients is None) == (result.manifest.contract.gradient_method is None), found
    assert all(error <= 1e-4 for error in errors if error is not None), found
    assert max(found.batch_sizes) == result.manifest.contract.max_batch_size
    assert deep or found.sensitivity is None, "no batch could be compared strictly"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[type[nn.Module]], ExportResult]:
    """Exports of whole models, made once, for batches of up to 5."""

    @functools.cache
    def make(kind: type[nn.Module]) -> ExportResult:
        folder = tmp_path_factory.mktemp(kind.__name__)
        return run_export(folder, kind, max_batch_size=5, recurrent="unrolled")

    return make


@pytest.mark.parametrize(
    "kind",
    [
        models.Signals,
        models.Pools,
        models.Sequences,
        # Tasks of tokens have it in the default run.
        pytest.param(models.Attention, marks=THOROUGH),
    ],
)
def test_layers(exported: Callable[..., ExportResult], kind: type[nn.Module]) -> None:
    result = exported(kind)
    assert_verified(result)
    assert result.verification.kernels[0] == "stock"
    assert result.manifest.own_operators == []


@pytest.mark.parametrize(
    ("batch_norm", "weights"),
    [
        ("frozen", "inline"),
        ("train", "external"),
        pytest.param("frozen", "external", marks=THOROUGH),
        pytest.param("train", "inline", marks=THOROUGH),
    ],
)
def test_batch_norm_and_placement_of_weights(tmp_path: Path, batch_norm: str, weights: str) -> None:
    result = run_export(tmp_path, models.Normalised, batch_norm=batch_norm, weights=weights)
    assert_verified(result)
    manifest = result.manifest
    assert manifest.dropout
    statistics = {"norm.running_mean", "norm.running_var"}
    mutable = {t.name for t in manifest.contract.changing}
    assert statistics <= mutable if batch_norm == "train" else not statistics & mutable
    assert (tmp_path / "model.ptd").exists() == (weights == "external")
    state = load_checkpoint(tmp_path / "model.pth").state
    for name, tensor in load_program(result.program).tensors().items():
        assert torch.equal(tensor, state[name]), name


def test_habits(tmp_path: Path) -> None:
    """What a forward does besides calling layers (`models.Habits`) counts as in PyTorch."""
    result = run_export(tmp_path, models.Habits, batch_norm="train", max_batch_size=8)
    assert_verified(result)
    contract = result.manifest.contract
    changing = {tensor.name for tensor in contract.changing}
    assert {"mean", "norm.running_mean", "norm.running_var", "First.weight"} <= changing
    assert not {name for name in changing if name.startswith(("Stem.1.running", "scale", "spare"))}
    assert [t.aliases for t in contract.tensors if t.name == "First.weight"] == [["Second.weight"]]
    program, generator = load_program(result.program), torch.Generator().manual_seed(1)
    trusted = Trusted(models.factory_name(models.Habits))
    inputs = {INPUTS: torch.randn(8, *models.SHAPES[models.Habits], generator=generator)}
    targets = {TARGETS: torch.randint(0, 4, (8,), generator=generator)}
    before = inputs[INPUTS].clone()
    torch_session = open_session("torch", program, trusted=trusted)
    session = open_session("executorch", program)
    for _ in range(2):
        expected, found = (s.forward_backward(inputs, targets).loss for s in (torch_session, session))
        assert found == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(dict(session.gradients), dict(torch_session.gradients), rtol=1e-3, atol=1e-6)
    assert torch.equal(inputs[INPUTS], before), "the caller's batch"


@pytest.mark.parametrize(
    "task",
    [
        # Tests of tasks and fine-tuning train by these two, too.
        pytest.param(TaskSpec(name="regression", loss="mse"), marks=THOROUGH),
        pytest.param(TaskSpec(name="regression", loss="l1"), marks=THOROUGH),
        TaskSpec(name="multi-label", loss="bce_with_logits"),
        TaskSpec(name="classification", loss="cross_entropy", label_smoothing=0.1),
    ],
    ids=lambda task: f"{task.loss}-{task.label_smoothing:g}",
)
def test_losses(tmp_path: Path, task: TaskSpec) -> None:
    assert_verified(run_export(tmp_path, models.Signals, task, max_batch_size=4))


def test_lowering_may_not_narrow_the_batch(tmp_path: Path) -> None:
    """1-D convolutions of this size make PyTorch ask whether the batch is below 16."""
    checkpoint = named_checkpoint(tmp_path, "cnn1d", (3, 100), 4)
    config = ExportCommand.model_validate({"export": {"max_batch_size": 20}})
    result = export(config, checkpoint, tmp_path / "model")
    assert_verified(result)
    session = open_session("executorch", load_program(result.program))
    assert session.predict({INPUTS: torch.zeros(20, 3, 100)})["output"].shape == (20, 4)


def test_batch_of_one(tmp_path: Path) -> None:
    result = run_export(tmp_path, models.Signals, max_batch_size=1)
    assert_verified(result)
    session = open_session("executorch", load_program(result.program))
    with pytest.raises(EdgetrainError, match="1 to 1 samples, not 2"):
        session.predict({INPUTS: torch.zeros(2, 2, 32)})


def test_trainable_part(exported: Callable[..., ExportResult], tmp_path: Path) -> None:
    everything = exported(models.Pools)
    head = run_export(tmp_path, models.Pools, trainable=["head.*"], max_batch_size=5)
    assert_verified(head)
    assert head.manifest.contract.trainable == ["head.weight", "head.bias"]
    assert {t.name for t in head.manifest.contract.changing} == {"head.weight", "head.bias"}
    assert {t.update for t in head.manifest.contract.tensors if t.name.startswith("body")} == {"none"}
    assert sum(head.manifest.contract.methods["train"].arena_bytes) < sum(
        everything.manifest.contract.methods["train"].arena_bytes
    )


def test_unused_parameters_are_frozen(tmp_path: Path) -> None:
    result = run_export(tmp_path, models.Unused)
    assert_verified(result)
    assert result.manifest.contract.trainable == ["head.weight", "head.bias"]


def test_plain_tensors_are_constants(tmp_path: Path) -> None:
    result = run_export(tmp_path, models.PlainTensors, max_batch_size=4)
    assert_verified(result)
    assert {t.name for t in result.manifest.contract.stored} == {"head.weight", "head.bias"}


def test_plain_tensors_for_inference() -> None:
    graph = export_graph(models.PlainTensors().eval(), (torch.zeros(2, 5),), 4, strict=False)
    assert lower_captured(Captured({"forward": graph}, {}), inference_recipe("portable"), "it").program


def test_manifest_describes_the_program(exported: Callable[..., ExportResult]) -> None:
    result = exported(models.Signals)
    manifest = load_manifest(result.manifest_path)
    assert manifest == result.manifest
    methods = manifest.contract.methods
    samples = [("input", INPUTS), ("target", TARGETS)]
    names = manifest.contract.trainable
    figures = [
        ("loss", "loss"),
        ("prediction", "class"),
        *(("metric", name) for name in ("loss_sum", "count", "correct")),
    ]
    parameters = [("parameter", name) for name in names]
    states = [("optimizer_state", FIRST + name) for name in names]
    assert {name: [(a.role, a.name) for a in m.inputs] for name, m in methods.items()} == {
        "train": [*samples, ("hyperparameter", "learning_rate")],
        "gradients": samples,
        "evaluate": samples,
        "predict": samples[:1],
        "weights": [],
    }
    given = {name: [(a.role, a.name) for a in m.outputs] for name, m in methods.items()}
    assert given["train"] == [*figures, *parameters, *states]
    assert given["gradients"] == [*figures, *(("gradient", name) for name in names), *parameters]
    assert given["weights"] == [*parameters, *states]
    assert manifest.contract.optimizer == OptimizerConfig()
    assert methods["predict"].inputs[0].shape == ["batch", 2, 32]
    assert [(a.role, a.shape) for a in methods["predict"].outputs] == [
        ("output", ["batch", 4]),
        ("prediction", ["batch"]),
    ]
    (target,) = methods["train"].taken("target")
    assert (target.dtype, target.least, target.most, target.ignored) == ("int64", 0, 3, None)
    assert all(
        op.startswith(("aten::", "dim_order_ops::", "executorch_prim::"))
        for m in methods.values()
        for op in m.operators
    )
    weights = methods["train"].arena_bytes[1]
    assert weights >= sum(p.numel() * 4 for p in models.Signals().parameters())


def test_memory_is_told(exported: Callable[..., ExportResult]) -> None:
    result = exported(models.Signals)
    assert set(result.timelines) == set(result.manifest.contract.methods)
    for name, method in result.manifest.contract.methods.items():
        memory = method.memory
        assert memory is not None
        assert max((stretch.bytes for stretch in memory.stretches), default=0) == memory.bound
        assert memory.bound <= method.arena_bytes[0] == result.timelines[name].arena
    train = result.manifest.contract.methods["train"].memory
    assert train is not None
    assert "body" in " ".join(tensor.maker for tensor in train.tensors)
    inputs = [t.maker.operator for t in result.timelines["train"].tensors if t.kind == "input"]
    assert {INPUTS, TARGETS} <= set(inputs)


def test_dropout_in_the_runtime(tmp_path: Path) -> None:
    """ExecuTorch 1.5's own dropout keeps values unscaled, so that activations shrink in training."""
    task = TaskSpec(name="regression", loss="mse")
    result = run_export(tmp_path, models.Dropped, task, max_batch_size=4)
    inputs, targets = {INPUTS: torch.ones(3, 4000)}, {TARGETS: torch.zeros(3, 1)}
    session = open_session("executorch", load_program(result.program))
    seen = []
    for _ in range(2):
        loss = session.forward_backward(inputs, targets).loss
        assert abs(loss - 1) < 0.1, "the mean of 4000 values stays where it was"
        # d(mean over batch of m²)/dw = 2/3 Σ m · mask/4000, with masks of 0 and 1/(1 - 0.2)
        gradient = session.gradients["weight"].clone()
        expected = 2 * loss / 4000
        assert abs(gradient.mean() / expected - 1) < 1e-3
        dropped_in_all = (gradient == 0).float().mean().item()
        assert 0.2**3 / 3 < dropped_in_all < 0.2**3 * 3
        seen.append(gradient)
    assert not torch.equal(*seen), "masks differ from step to step"
    silent = open_session("executorch", load_program(result.program), dropout=False)
    assert silent.forward_backward(inputs, targets).loss == pytest.approx(1.0)


def assert_nothing_left(folder: Path) -> None:
    assert {p.name for p in folder.iterdir()} == {"model.pth"}


def test_operator_without_kernel_is_named_with_its_module(tmp_path: Path) -> None:
    where = r"fractional_max_pool2d \(in features\.2 \(FractionalMaxPool2d\)\); use MaxPool2d"
    with pytest.raises(CheckFailedError, match=where) as found:
        run_export(tmp_path, models.Fractional)
    # Freezing spares what is before it the gradient, and nobody the layer itself.
    assert "--trainable" not in str(found.value)
    assert_nothing_left(tmp_path)


def test_wrong_gradients_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the decomposition, max-pool backward is what upstream issue 21686 describes."""
    monkeypatch.delitem(
        decompositions.DECOMPOSITIONS, torch.ops.aten.max_pool2d_with_indices_backward.default
    )
    with pytest.raises(CheckFailedError, match=r"gradient of .*body\.0"):
        run_export(tmp_path, models.Pools)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainable": ["heads.*"]}, r"'heads\.\*' matches no parameter.*did you mean 'head\.\*'"),
        ({"trainable": ["body.0.bais"]}, r"did you mean 'body\.0\.bias'"),
    ],
)
def test_patterns_without_match(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_export(tmp_path, models.Pools, **settings)
    assert_nothing_left(tmp_path)


@pytest.mark.parametrize("update", ["head", "budget:1MB"])
def test_groups_without_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: str) -> None:
    """They are refused before anything is planned, which takes long."""
    for name in ("plan_program", "choose_update"):
        monkeypatch.setattr(stage, name, None)
    checkpoint = models.write_checkpoint(tmp_path / "model.pth", models.Pools)
    pattern = "body.*" if update == "head" else "boby.*"
    config = models.command({"groups": {pattern: 0.1}}, update=update)
    with pytest.raises(UsageError, match=re.escape(f"--group {pattern} fits no trainable parameter; there")):
        export(config, checkpoint, tmp_path / "model", trusted=Trusted(models.factory_name(models.Pools)))
    assert_nothing_left(tmp_path)


def test_only_unused_parameters_trainable(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="depends on no trainable parameter"):
        run_export(tmp_path, models.Unused, trainable=["spare.*"])
    assert_nothing_left(tmp_path)


def test_checkpoint_may_not_choose_code(tmp_path: Path) -> None:
    checkpoint = models.write_checkpoint(tmp_path / "model.pth", models.Unused)
    with pytest.raises(InputError, match=r"--model export_models:Unused"):
        export(ExportCommand(), checkpoint, tmp_path / "model")
    assert_nothing_left(tmp_path)


def test_checkpoint_of_another_architecture(tmp_path: Path) -> None:
    checkpoint = models.write_checkpoint(tmp_path / "model.pth", models.Unused)
    loaded = load_checkpoint(checkpoint)
    del loaded.state["head.bias"]
    save_checkpoint(checkpoint, loaded)
    with pytest.raises(InputError, match=r"does not fit the model.*head\.bias"):
        export(
            ExportCommand(),
            checkpoint,
            tmp_path / "model",
            trusted=Trusted(models.factory_name(models.Unused)),
        )
    assert_nothing_left(tmp_path)


def named_checkpoint(folder: Path, name: str, shape: tuple[int, ...], classes: int) -> Path:
    torch.manual_seed(0)
    inputs = {INPUTS: InputSpec(shape=shape)}
    config = resolve_model(ModelConfig(name=name), inputs, classes)
    path = folder / "model.pth"
    task = models.CLASSES.model_copy(update={"classes": tuple(str(i) for i in range(classes))})
    save_checkpoint(path, Checkpoint(config, build_model(config).state_dict(), inputs, task))
    return path


@pytest.mark.parametrize(
    ("name", "shape", "classes", "largest", "update"),
    [
        ("xor_mlp", (2,), 2, 32, "auto"),
        ("mlp", (20,), 10, 32, "on"),
        # Other tests export these two as well, with other sizes.
        pytest.param("cnn1d", (3, 64), 5, 32, "auto", marks=THOROUGH),
        pytest.param("cifar_cnn", (3, 32, 32), 10, 32, "auto", marks=THOROUGH),
        # ExecuTorch's own convolutions take seconds for a batch of 32 in deep models.
        pytest.param("torchvision:squeezenet1_1", (3, 32, 32), 10, 4, "off", marks=THOROUGH),
        pytest.param("torchvision:resnet18", (3, 32, 32), 10, 4, "off", marks=THOROUGH),
        pytest.param("torchvision:mobilenet_v2", (3, 32, 32), 10, 4, "auto", marks=THOROUGH),
    ],
)
def test_registered_models(
    tmp_path: Path, name: str, shape: tuple[int, ...], classes: int, largest: int, update: str
) -> None:
    checkpoint = named_checkpoint(tmp_path, name, shape, classes)
    settings = {"max_batch_size": largest, "update_in_graph": update}
    config = ExportCommand.model_validate({"export": settings})
    result = export(config, checkpoint, tmp_path / "model")
    assert_verified(result, deep=name.startswith("torchvision"))
