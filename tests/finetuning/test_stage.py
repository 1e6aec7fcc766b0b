from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_models import Tied, export_model

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.history import EpochRecord, load_history
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import load_run
from edgetrain.config.stages import ExportCommand, FinetuneCommand
from edgetrain.data import BatchLoader, load_dataset
from edgetrain.errors import CheckFailedError, InputError, InterruptedRun, UsageError
from edgetrain.factories import NOTHING, Trusted
from edgetrain.finetuning import output_files, with_runtime
from edgetrain.finetuning.stage import finetune_here as finetune
from edgetrain.runner import find_kernels, find_runner

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": True},
    # With eps of 1e-8 they would step by the sign of rounding errors where a gradient is zero but for these.
    "adam": {"name": "adam", "lr": 0.003, "eps": 1e-5},
    "adamw": {"name": "adamw", "lr": 0.003, "weight_decay": 0.01, "eps": 1e-5},
}
DIGITS = {"name": "digits", "images_per_class": 10, "test_images_per_class": 5, "shift": ["rotate:90"]}


def _config(**sections: Any) -> FinetuneCommand:
    """100 samples in batches of 15: 7 steps an epoch, the last of 10 samples."""
    base = {
        "data": DIGITS,
        "optimizer": OPTIMIZERS["sgd"],
        "finetune": {
            "runtime": "executorch",
            "epochs": 2,
            "batch_size": 15,
            "threads": 1,
            **sections.pop("finetune", {}),
        },
    }
    return FinetuneCommand.model_validate({**base, **sections})


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_runtimes_train_alike(digits_program: Any, tmp_path: Path, listener: Any, optimizer: str) -> None:
    results, losses, weights = {}, {}, {}
    for runtime in ("executorch", "torch"):
        heard = listener()
        config = _config(
            optimizer=OPTIMIZERS[optimizer],
            schedule={"name": "cosine", "warmup_steps": 3},
            finetune={"runtime": runtime, "epochs": 4, "max_steps": 20},
        )
        output = tmp_path / runtime / "tuned.ptd"
        results[runtime] = finetune(config, digits_program.program, output, reporter=heard)
        losses[runtime] = heard.losses
        weights[runtime] = load_program(digits_program.program, output).tensors()
        assert [r.steps for r in results[runtime].history.epochs] == [0, 7, 14, 20]
    assert len(losses["torch"]) == 20
    assert losses["executorch"] == pytest.approx(losses["torch"], rel=1e-4)
    before = load_program(digits_program.program).tensors()
    most = 1e-4 if optimizer == "sgd" else 1e-2
    for name, tensor in weights["torch"].items():
        change = (tensor - before[name]).norm()
        assert change > 0, name
        assert (weights["executorch"][name] - tensor).norm() < most * change, name
    assert results["executorch"].after.loss == pytest.approx(results["torch"].after.loss, rel=1e-4)


def test_choice_of_kernels() -> None:
    def chosen(**settings: str) -> tuple[str, str]:
        config = with_runtime(_config(finetune=settings)).finetune
        return config.runtime, config.kernels

    assert chosen(runtime="auto", kernels="stock") == ("executorch", "stock")
    assert chosen(runtime="auto")[0] == ("native" if find_runner() else "executorch")
    assert chosen(runtime="torch") == ("torch", "auto")
    for runtime in ("native", "torch"):
        with pytest.raises(UsageError, match=f"for the executorch runtime, {runtime} has only its own"):
            chosen(runtime=runtime, kernels="stock")


def test_history_and_files(digits: Any, tmp_path: Path) -> None:
    result = finetune(_config(), digits.program, tmp_path / "t.ptd")
    names = {p.name for p in tmp_path.iterdir()}
    assert names >= {"t.ptd", "t.history.json", "t.state.ptd"}
    assert not [n for n in names if n.endswith(".tmp")]
    history = load_history(tmp_path / "t.history.json")
    assert history.epochs == result.history.epochs
    assert (history.runtime, history.device, history.threads, history.seed) == ("executorch", "cpu", 1, 0)
    assert history.config == with_runtime(_config()).model_dump(mode="json")
    assert history.config == load_run(tmp_path / "t.state.ptd").record.config
    assert history.config["finetune"]["kernels"] == ("stock" if find_kernels() is None else "fast")
    assert history.peak_rss_bytes > 0
    zero, *rest = history.epochs
    nulls = {k for k, v in zero.model_dump().items() if v is None}
    assert nulls == {
        "train_loss", "train_accuracy", "train_time_s", "train_time_per_sample_s", "learning_rate"
    }  # fmt: skip
    assert [metric.name for metric in history.metrics] == ["loss", "accuracy"]
    assert [r.epoch for r in rest] == [1, 2]
    for record in rest:
        assert None not in record.model_dump().values()
        assert record.train_time_per_sample_s == pytest.approx(record.train_time_s / 100)
    assert result.after.figures["accuracy"] > result.before.figures["accuracy"]
    assert result.after.loss < result.before.loss


def _evaluate(
    program: Any, config: FinetuneCommand, trusted: Trusted = NOTHING, runtime: Any = "executorch"
) -> float:
    from edgetrain.runtimes import open_session

    manifest = program.manifest
    session = open_session(runtime, program, trusted=trusted, threads=1)
    size = manifest.contract.max_batch_size
    total = count = 0.0
    for batch in BatchLoader(load_dataset(config.data).test, manifest.preprocessing, size).epoch(0):
        sums = session.evaluate(batch.inputs, batch.targets).sums
        total, count = total + sums["loss_sum"].item(), count + sums["count"].item()
    return total / count


def test_tuned_weights_give_the_reported_loss(
    digits_program: Any, inline_program: Any, noisy_program: Any, tmp_path: Path
) -> None:
    config = _config(finetune={"batch_size": 8, "epochs": 1})
    for index, made in enumerate((digits_program, inline_program, noisy_program)):
        inline = load_program(made.program).weights is None
        output = tmp_path / f"{index}{'.pte' if inline else '.ptd'}"
        result = finetune(
            config, made.program, output, to_pth=tmp_path / f"{index}.pth", trusted=made.trusted
        )
        tuned = load_program(output) if inline else load_program(made.program, output)
        assert _evaluate(tuned, config) == result.after.loss
        assert result.before.loss == _evaluate(load_program(made.program), config) != result.after.loss
        state = load_checkpoint(tmp_path / f"{index}.pth").state
        for name, tensor in tuned.tensors().items():
            assert torch.equal(state[name], tensor), name
        if inline:
            before = load_program(made.program).tensors()
            changed = {n for n, t in tuned.tensors().items() if not torch.equal(t, before[n])}
            assert changed == {f"classifier.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")}


@pytest.mark.slow
def test_checkpoint_of_tuned_weights_goes_round(digits_program: Any, tmp_path: Path) -> None:
    from edgetrain.export import export
    from edgetrain.models import build_model

    config = _config(finetune={"epochs": 1})
    result = finetune(config, digits_program.program, tmp_path / "t.ptd", to_pth=tmp_path / "t.pth")
    checkpoint = load_checkpoint(tmp_path / "t.pth")
    model = build_model(checkpoint.model)
    model.load_state_dict(checkpoint.state)
    preprocessing = {name: spec.preprocessing for name, spec in checkpoint.inputs.items()}
    batch = next(iter(BatchLoader(load_dataset(config.data).test, preprocessing, 50).epoch(0)))
    loss = torch.nn.functional.cross_entropy(model.eval()(batch.inputs["inputs"]), batch.targets["targets"])
    assert loss.item() == pytest.approx(result.after.loss, rel=1e-5)
    again = export(ExportCommand(), tmp_path / "t.pth", tmp_path / "again")
    assert _evaluate(load_program(again.program), config) == result.after.loss


def _stop_at(step: int) -> Callable[[int], None]:
    def act(now: int) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGINT)

    return act


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize(
    ("runtime", "made"), [("executorch", "digits"), ("torch", "digits"), ("executorch", "inline")]
)
def test_resuming_is_exact(
    request: pytest.FixtureRequest, tmp_path: Path, listener: Any, optimizer: str, runtime: str, made: str
) -> None:
    program = request.getfixturevalue(f"{made}_program").program
    suffix = ".pte" if made == "inline" else ".ptd"
    config = _config(
        optimizer=OPTIMIZERS[optimizer], schedule={"name": "cosine"}, finetune={"runtime": runtime}
    )
    whole, parts = tmp_path / f"whole{suffix}", tmp_path / f"parts{suffix}"
    expected = finetune(config, program, whole)
    with pytest.raises(InterruptedRun, match=r"stopped in epoch 1 after step 3;.*--resume") as caught:
        finetune(config, program, parts, reporter=listener(_stop_at(3)))
    assert caught.value.exit_code == 130
    assert parts.exists()
    with pytest.raises(InterruptedRun, match="stopped in epoch 2 after step 9"):
        finetune(config, program, parts, resume=True, reporter=listener(_stop_at(6)))
    result = finetune(config, program, parts, resume=True)
    assert parts.read_bytes() == whole.read_bytes()
    timeless = [
        [{k: v for k, v in r.model_dump().items() if "time" not in k} for r in found.history.epochs]
        for found in (expected, result)
    ]
    assert timeless[0] == timeless[1]
    assert result.before == expected.before


def test_a_finished_run_resumed(digits_program: Any, tmp_path: Path) -> None:
    """Nothing is left to do; what is reported and folded back is still the tuned model."""
    output, config = tmp_path / "t.ptd", _config(finetune={"max_steps": 3})
    first = finetune(config, digits_program.program, output)
    weights = output.read_bytes()
    again = finetune(config, digits_program.program, output, resume=True, to_pth=tmp_path / "t.pth")
    assert again.after == first.after
    assert again.history.epochs == first.history.epochs
    tuned = load_program(digits_program.program, output).tensors()
    folded = load_checkpoint(tmp_path / "t.pth").state
    assert all(torch.equal(folded[name], tensor) for name, tensor in tuned.items())
    output.unlink()
    finetune(config, digits_program.program, output, resume=True)
    assert output.read_bytes() == weights
    longer = finetune(_config(), digits_program.program, output, resume=True)
    whole = finetune(_config(), digits_program.program, tmp_path / "whole.ptd")
    assert output.read_bytes() == whole.weights.read_bytes()
    assert longer.after == whole.after


def test_resuming_needs_the_same_settings(digits: Any, digits_program: Any, tmp_path: Path) -> None:
    output = tmp_path / "t.ptd"
    with pytest.raises(InputError, match="nothing to resume"):
        finetune(_config(), digits.program, output, resume=True)
    finetune(_config(finetune={"max_steps": 2}), digits.program, output)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    other = _config(optimizer=OPTIMIZERS["adam"], finetune={"max_steps": 2, "batch_size": 10})
    with pytest.raises(UsageError, match=r"finetune\.batch_size \(15 → 10\).*optimizer\.name \(sgd → adam\)"):
        finetune(other, digits.program, output, resume=True)
    fewer = _config(data={**DIGITS, "images_per_class": 9}, finetune={"max_steps": 2})
    with pytest.raises(UsageError, match=r"data\.images_per_class \(10 → 9\), the training data"):
        finetune(fewer, digits.program, output, resume=True)
    with pytest.raises(UsageError, match="the weights it started from"):
        finetune(_config(finetune={"max_steps": 2}), digits.program, output, weights=output, resume=True)
    (tmp_path / "t.state.ptd").write_bytes(before[tmp_path / "t.state.ptd"][:3000])
    with pytest.raises(InputError, match=r"t\.state\.ptd is no usable state"):
        finetune(_config(finetune={"max_steps": 2}), digits.program, output, resume=True)
    state = bytearray(before[tmp_path / "t.state.ptd"])
    state[len(state) // 2] ^= 1
    (tmp_path / "t.state.ptd").write_bytes(state)
    with pytest.raises(InputError, match=r"t\.state\.ptd is no usable state"):
        finetune(_config(finetune={"max_steps": 2}), digits.program, output, resume=True)
    (tmp_path / "t.state.ptd").write_bytes(before[tmp_path / "t.state.ptd"])
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_resuming_needs_the_same_data(regression_program: Any, tmp_path: Path) -> None:
    """As many samples of the same shape, but other ones."""
    path = tmp_path / "data.npz"
    config = _config(data={"name": "arrays", "root": path}, optimizer={"lr": 0.01}, finetune={"max_steps": 2})

    def write(seed: int) -> None:
        random = np.random.default_rng(seed)
        inputs = random.normal(size=(90, 6)).astype("f4")
        np.savez(path, inputs=inputs, targets=np.zeros((90, 2), "f4"))

    write(0)
    finetune(config, regression_program.program, tmp_path / "t.ptd")
    write(1)
    with pytest.raises(UsageError, match="with other settings: the training data;"):
        finetune(config, regression_program.program, tmp_path / "t.ptd", resume=True)
    write(0)
    finetune(config, regression_program.program, tmp_path / "t.ptd", resume=True)


def test_classes_without_samples_are_warned_of(digits_program: Any, tmp_path: Path, listener: Any) -> None:
    """Of the program's ten classes, whatever the data knows of them."""
    images = np.random.default_rng(0).integers(0, 256, (90, 1, 8, 8), np.uint8)
    np.savez(tmp_path / "data.npz", inputs=images, targets=np.arange(90) % 8)
    config = _config(data={"name": "arrays", "root": tmp_path / "data.npz"}, finetune={"max_steps": 1})
    heard = listener()
    finetune(config, digits_program.program, tmp_path / "t.ptd", reporter=heard)
    assert (
        "there are no training samples of 2 of 10 classes, which can't be learned: '8', '9'" in heard.messages
    )
    heard = listener()
    finetune(_config(finetune={"max_steps": 1}), digits_program.program, tmp_path / "u.ptd", reporter=heard)
    assert not any("no training samples" in message for message in heard.messages)


def test_the_programs_preprocessing_is_used(digits_program: Any, tmp_path: Path) -> None:
    """Other numbers are refused before the data is read; those of the recipe it was trained with are not."""
    other = _config(data={**DIGITS, "mean": [0.5], "std": [0.5]})
    with pytest.raises(UsageError, match=r"brings its own preprocessing \(mean \[0\.3053\], std"):
        finetune(other, digits_program.program, tmp_path / "t.ptd")
    assert list(tmp_path.iterdir()) == []
    same = _config(data={**DIGITS, "mean": [0.3053], "std": [0.3759]}, finetune={"max_steps": 1})
    plain = _config(finetune={"max_steps": 1})
    results = [finetune(c, digits_program.program, tmp_path / "t.ptd") for c in (same, plain)]
    assert results[0].after == results[1].after


def test_output_files_are_those_written(digits_program: Any, inline_program: Any, tmp_path: Path) -> None:
    for made, name in ((digits_program, "t.ptd"), (inline_program, "t.pte")):
        folder = tmp_path / name
        output, to_pth = folder / name, folder / "t.pth"
        finetune(_config(finetune={"max_steps": 1}), made.program, output, to_pth=to_pth)
        assert sorted(output_files(output, to_pth)) == sorted(folder.iterdir())


@pytest.mark.parametrize("steps", [1, 3, 14])
@pytest.mark.parametrize("runtime", ["executorch", "torch"])
def test_a_run_that_explodes(digits_program: Any, tmp_path: Path, runtime: str, steps: int) -> None:
    output = tmp_path / "t.ptd"
    finetune(_config(finetune={"max_steps": 1}), digits_program.program, output)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    config = _config(optimizer={"name": "sgd", "lr": 1e38}, finetune={"runtime": runtime, "max_steps": steps})
    with pytest.raises(
        CheckFailedError, match=r"not finite .*no new weights.*lower the learning rate"
    ) as caught:
        finetune(config, digits_program.program, output)
    assert caught.value.exit_code == 4
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_settings_that_do_not_fit(digits: Any, inline_program: Any, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match="batches of up to 32, not 33"):
        finetune(_config(finetune={"batch_size": 33}), digits.program, tmp_path / "t.ptd")
    with pytest.raises(UsageError, match=r"outside the program; name an output that ends in \.ptd"):
        finetune(_config(), digits.program, tmp_path / "t.pte")
    with pytest.raises(UsageError, match=r"inside the program; name an output that ends in \.pte"):
        finetune(_config(), inline_program.program, tmp_path / "t.ptd")
    assert sorted(tmp_path.iterdir()) == before


def test_regression(regression_program: Any, regression_data: Path, tmp_path: Path) -> None:
    data = {"name": "arrays", "root": regression_data}
    config = _config(data=data, optimizer={"lr": 0.01}, finetune={"epochs": 5})
    result = finetune(config, regression_program.program, tmp_path / "t.ptd")
    assert result.after.loss < result.before.loss
    assert list(result.after.figures) == ["loss"]
    assert not any("accuracy" in name for r in result.history.epochs for name in r.model_dump())
    np.savez(tmp_path / "other.npz", inputs=np.ones((20, 6), "f4"), targets=np.ones((20, 1), "f4"))
    config = _config(data={"name": "arrays", "root": tmp_path / "other.npz"})
    with pytest.raises(InputError, match="targets are 1 per sample, the program was exported for 2"):
        finetune(config, regression_program.program, tmp_path / "u.ptd")
    assert not (tmp_path / "u.ptd").exists()


@pytest.mark.parametrize("name", ["train", "test"])
def test_ids_that_the_program_has_not(tmp_path: Path, name: str) -> None:
    program, trusted = export_model(Tied, tmp_path)
    ids = {"train": np.arange(40).reshape(8, 5) % 12, "test": np.arange(20).reshape(4, 5) % 12}
    ids[name][2, 1] = 12
    np.savez(
        tmp_path / "words.npz",
        inputs=ids["train"],
        targets=np.zeros(8, np.int64),
        test_inputs=ids["test"],
        test_targets=np.zeros(4, np.int64),
    )
    data = {"name": "arrays", "root": tmp_path / "words.npz"}
    config = _config(data=data, finetune={"batch_size": 8})
    with pytest.raises(InputError, match=f"{name} sample 2 has the id 12 in inputs, .* 0 to 11; ") as caught:
        finetune(config, program, tmp_path / "t.ptd", trusted=trusted)
    assert caught.value.exit_code == 3
    assert not (tmp_path / "t.ptd").exists()


def test_starting_weights_and_rare_validation(digits_program: Any, tmp_path: Path) -> None:
    first = finetune(_config(finetune={"epochs": 1}), digits_program.program, tmp_path / "a.ptd")
    config = _config(finetune={"epochs": 3, "eval_every": 0})
    result = finetune(config, digits_program.program, tmp_path / "b.ptd", weights=tmp_path / "a.ptd")
    assert result.before == first.after
    losses: list[EpochRecord] = result.history.epochs
    assert [r.val_loss is None for r in losses] == [False, True, True, False]
