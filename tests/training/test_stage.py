from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint, save_checkpoint
from edgetrain.artifacts.history import load_history
from edgetrain.artifacts.specs import TensorSpec
from edgetrain.config.stages import TrainCommand
from edgetrain.errors import CheckFailedError, EdgetrainError, InputError, UsageError
from edgetrain.models import build_model
from edgetrain.training import TrainResult, output_files, train

Make = Callable[..., TrainCommand]

SYNTHETIC = {"shape": [4], "classes": 3, "samples": 64, "test_samples": 32}


def synthetic(task: str = "classify", **args: Any) -> dict[str, Any]:
    return {
        "name": "synthetic",
        "args": {**SYNTHETIC, "task": task, **args},
        "images_per_class": None,
        "test_images_per_class": None,
        "crop_padding": None,
    }


def accuracy_of(result: TrainResult) -> float:
    accuracy = result.figures["accuracy"]
    assert accuracy is not None
    return accuracy


def test_files_and_their_contents(tmp_path: Path, small: Make, recorder: Callable[..., Any]) -> None:
    config, listener = small(), recorder()
    result = train(config, tmp_path / "m.pth", reporter=listener)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.history.json", "m.last.pth", "m.pth"]
    assert sorted(output_files(tmp_path / "m.pth")) == sorted(tmp_path.iterdir())

    best, last = load_checkpoint(result.checkpoint), load_checkpoint(result.last)
    assert best.training is None
    assert last.training is not None
    assert best.metrics["epoch"] == result.best_epoch
    assert list(best.metrics) == ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    assert best.metrics["val_accuracy"] == result.figures["accuracy"]
    assert best.task.classes == tuple(str(digit) for digit in range(10))
    assert (best.task.name, best.task.loss) == ("classification", "cross_entropy")
    assert {name: spec.shape for name, spec in best.inputs.items()} == {"inputs": (1, 8, 8)}
    assert best.targets == {"targets": TensorSpec(shape=(), dtype="int64")}
    assert best.model.args == {"in_features": 64, "num_classes": 10, "hidden": [24], "dropout": 0.3}
    assert best.config["model"] == best.model.model_dump()
    build_model(best.model).load_state_dict(best.state)

    history = load_history(result.history_path)
    assert history.epochs == result.history.epochs
    assert [r.epoch for r in history.epochs] == [1, 2, 3]
    assert [r.steps for r in history.epochs] == [8, 16, 24]
    assert history.config == best.config
    assert [metric.name for metric in history.metrics] == ["loss", "accuracy"]
    assert history.peak_rss_bytes > 0
    accuracies = [r.figure("val", "accuracy") for r in history.epochs]
    assert result.figures["accuracy"] == max(a for a in accuracies if a is not None)
    assert len(listener.losses) == 24
    assert listener.rates[:4] == pytest.approx([0.0125, 0.025, 0.0375, 0.05])
    assert sum("epoch" in message and "/3:" in message for message in listener.infos) == 3


def test_best_is_what_was_validated(tmp_path: Path, small: Make) -> None:
    """The stored weights give the stored figures."""
    from edgetrain.data import BatchLoader, load_dataset

    config = small()
    result = train(config, tmp_path / "m.pth")
    best = load_checkpoint(result.checkpoint)
    dataset = load_dataset(config.data)
    preprocessing = {name: spec.preprocessing for name, spec in best.inputs.items()}
    batch = next(iter(BatchLoader(dataset.test, preprocessing, 500).epoch(0)))
    model = build_model(best.model)
    model.load_state_dict(best.state)
    targets = batch.targets["targets"]
    with torch.no_grad():
        logits = model.eval()(batch.inputs["inputs"])
    accuracy = (logits.argmax(1) == targets).float().mean().item()
    assert result.figures["accuracy"] == pytest.approx(accuracy)
    loss = torch.nn.functional.cross_entropy(logits, targets)
    assert result.figures["loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_same_seed_same_weights(tmp_path: Path, small: Make) -> None:
    states = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        result = train(small(train={"seed": seed, "max_steps": 3}), tmp_path / f"{name}.pth")
        states.append(load_checkpoint(result.last).state["layers.0.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_max_steps_ends_inside_an_epoch(tmp_path: Path, small: Make) -> None:
    result = train(small(train={"max_steps": 11}), tmp_path / "m.pth")
    assert [(r.epoch, r.steps) for r in result.history.epochs] == [(1, 8), (2, 11)]
    assert result.history.epochs[1].val_loss is not None


def test_regression_keeps_the_lowest_loss(tmp_path: Path, small: Make) -> None:
    config = small(data=synthetic("regress"), loss={"name": "mse"}, optimizer={"lr": 0.01})
    result = train(config, tmp_path / "m.pth")
    losses = [r.val_loss for r in result.history.epochs if r.val_loss is not None]
    assert result.figures == {"loss": min(losses)}
    assert "val_accuracy" not in result.history_path.read_text()
    assert load_checkpoint(result.checkpoint).task.classes is None


def test_multilabel_accuracy(tmp_path: Path, small: Make) -> None:
    config = small(
        data=synthetic("multilabel"),
        loss={"name": "bce_with_logits"},
        model={"args": {"hidden": []}},
        optimizer={"lr": 0.5},
        train={"epochs": 10},
    )
    assert accuracy_of(train(config, tmp_path / "m.pth")) > 0.85


def test_xor_is_learned(tmp_path: Path) -> None:
    config = TrainCommand.model_validate(
        {
            "data": {"name": "xor"},
            "model": {"name": "xor_mlp"},
            "optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.9},
            "train": {"epochs": 150, "batch_size": 4, "device": "cpu"},
        }
    )
    assert accuracy_of(train(config, tmp_path / "xor.pth")) == 1.0


def test_digits_are_learned_in_seconds(tmp_path: Path) -> None:
    config = TrainCommand.model_validate(
        {
            "data": {"name": "digits"},
            "model": {"name": "digits_cnn"},
            "optimizer": {"lr": 0.05},
            "schedule": {"name": "cosine", "warmup_steps": 20},
            "train": {"epochs": 10, "batch_size": 32, "device": "cpu"},
        }
    )
    assert accuracy_of(train(config, tmp_path / "digits.pth")) > 0.95


@pytest.mark.promise("NaN and what explodes end a run, and the last good weights stay")
def test_nan_before_any_epoch(tmp_path: Path, small: Make) -> None:
    (tmp_path / "m.pth").write_bytes(b"older result")
    config = small(optimizer={"lr": 1e30}, schedule={"name": "constant", "warmup_steps": 0})
    with pytest.raises(CheckFailedError, match=r"not finite at step 2 .*no weights were saved; lower the"):
        train(config, tmp_path / "m.pth")
    assert (tmp_path / "m.pth").read_bytes() == b"older result"
    assert [p.name for p in tmp_path.iterdir()] == ["m.pth"]


@pytest.mark.promise("NaN and what explodes end a run, and the last good weights stay")
def test_nan_later_keeps_the_last_good_weights(tmp_path: Path, small: Make) -> None:
    """The momentum of a saved run is made absurd, so that the first step after resuming breaks it."""
    train(small(train={"epochs": 1}), tmp_path / "m.pth")
    last = load_checkpoint(tmp_path / "m.last.pth")
    assert last.training is not None
    for state in last.training["optimizer"]["state"].values():
        state["momentum_buffer"].fill_(3e38)
    save_checkpoint(tmp_path / "m.last.pth", last)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    expected = (
        r"at step 10 \(epoch 2\); the last good weights \(step 8\) are kept in .*m\.last\.pth; lower the"
    )
    with pytest.raises(CheckFailedError, match=expected) as caught:
        train(small(train={"epochs": 2}), tmp_path / "m.pth", resume=True)
    assert caught.value.exit_code == 4
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("sections", "error", "message"),
    [
        ({"loss": {"name": "mse"}}, InputError, "float32 targets"),
        (
            {
                "data": synthetic("regress"),
                "loss": {"name": "mse"},
                "model": {"name": "torch.nn:BatchNorm1d", "args": {"num_features": 4}},
            },
            UsageError,
            r"outputs have the shape \[B, 4\], but \[B, 3\] is needed as the targets of the loss mse",
        ),
        (
            {"data": synthetic(), "model": {"name": "torch.nn:BatchNorm1d", "args": {"num_features": 4}}},
            UsageError,
            r"outputs have the shape \[B, 4\], but \[B, 3\] is needed for 3 classes",
        ),
        (
            {
                "data": synthetic(),
                "model": {"name": "torch.nn:Linear", "args": {"in_features": 5, "out_features": 3}},
            },
            UsageError,
            r"can't take inputs of shape \[B, 4\]",
        ),
        (
            {
                "data": synthetic(shape=[16, 16, 3]),
                "model": {
                    "name": "torch.nn:Conv2d",
                    "args": {"in_channels": 3, "out_channels": 3, "kernel_size": 3},
                },
            },
            UsageError,
            r"can't take inputs of shape \[B, 16, 16, 3\]: .*; .* channels last: save array\.transpose",
        ),
        (
            {
                "data": synthetic(),
                "model": {"name": "builtins:dict", "args": {}},
            },
            UsageError,
            "must return a torch.nn.Module, but returned dict",
        ),
        ({"model": {"name": "digits_cn", "args": {}}}, UsageError, "did you mean 'digits_cnn'"),
    ],
)
def test_misfit_is_found_before_the_first_step(
    sections: dict[str, Any], error: type[EdgetrainError], message: str, tmp_path: Path, small: Make
) -> None:
    with pytest.raises(error, match=message):
        train(small(**sections), tmp_path / "m.pth")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("labels", "shift", "message"),
    [
        ([0, 1, 3, 4], [], "there are no training samples of 1 of 5 classes, which can't be learned: '2'"),
        ([0], [], "all 80 training samples are of the class '0': there is nothing to tell apart"),
        ([0, 1, 2], [], None),
        ([0, 1, 2], ["classes:0,2"], None),
    ],
)
def test_classes_without_samples_are_warned_of(
    tmp_path: Path,
    small: Make,
    recorder: Callable[..., Any],
    labels: list[int],
    shift: list[str],
    message: str | None,
) -> None:
    inputs = np.random.default_rng(0).normal(size=(100, 4)).astype("f4")
    np.savez(tmp_path / "d.npz", inputs=inputs, targets=np.resize(labels, 100))
    data = {"name": "arrays", "root": tmp_path / "d.npz", "shift": shift}
    config = TrainCommand.model_validate(
        {"data": data, "model": {"name": "mlp"}, "train": {"epochs": 1, "device": "cpu"}}
    )
    heard = recorder()
    train(config, tmp_path / "m.pth", reporter=heard)
    assert heard.warnings == ([] if message is None else [message])


def test_ids_that_the_model_does_not_know(tmp_path: Path, small: Make) -> None:
    """In a batch that the probe of the outputs doesn't see."""
    ids = np.random.default_rng(0).integers(0, 9, (60, 6))
    ids[50, 2] = 12
    np.savez(tmp_path / "d.npz", inputs=ids, targets=ids % 2)
    model = {"name": "text_transformer", "args": {"vocabulary": 9, "tied": False, "width": 8, "heads": 2}}
    config = TrainCommand.model_validate(
        {"data": {"name": "arrays", "root": tmp_path / "d.npz"}, "model": model, "train": {"device": "cpu"}}
    )
    with pytest.raises(InputError, match=r"sample \d+ has the id 12 in inputs, the model takes 0 to 8"):
        train(config, tmp_path / "m.pth")
    assert not (tmp_path / "m.pth").exists()


def test_batch_norm_on_one_sample(tmp_path: Path, small: Make) -> None:
    data = synthetic(samples=5, classes=4)
    config = small(
        data=data,
        model={"name": "torch.nn:BatchNorm1d", "args": {"num_features": 4}},
        train={"batch_size": 4},
    )
    with pytest.raises(UsageError, match="batch norm can't be trained on a batch of one sample"):
        train(config, tmp_path / "m.pth")


def test_no_gpu(tmp_path: Path, small: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no CUDA GPU"):
        train(small(train={"device": "cuda"}), tmp_path / "m.pth")


def test_bfloat16_on_cpu(tmp_path: Path, small: Make, recorder: Callable[..., Any]) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        listener = recorder()
        train(small(train={"precision": precision, "max_steps": 3}), tmp_path / "m.pth", reporter=listener)
        losses[precision] = listener.losses
    assert losses["bfloat16"] != losses["float32"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
