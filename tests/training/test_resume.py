import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgetrain.artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgetrain.artifacts.history import EpochRecord, load_history
from edgetrain.config.stages import TrainCommand
from edgetrain.engine.metrics import Meter
from edgetrain.errors import InputError, InterruptedRun, UsageError
from edgetrain.training import train
from edgetrain.training.learner import Learner

Make = Callable[..., TrainCommand]

OPTIMIZERS: list[dict[str, Any]] = [
    {"name": "sgd", "lr": 0.05, "momentum": 0.9},
    {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
]


def interrupt_at(step: int) -> Callable[[int], None]:
    def act(count: int) -> None:
        if count == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return act


def assert_same_tensors(a: Any, b: Any) -> None:
    """Nested plain data, bit by bit."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same_tensors(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same_tensors(x, y)
    else:
        assert a == b


def without_time(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if "time" not in key}


def without_times(records: list[EpochRecord]) -> list[dict[str, Any]]:
    return [without_time(record.model_dump()) for record in records]


def assert_same_runs(a: Path, b: Path) -> None:
    for suffix in (".pth", ".last.pth"):
        left, right = load_checkpoint(a.with_suffix(suffix)), load_checkpoint(b.with_suffix(suffix))
        assert_same_tensors(left.state, right.state)
        assert without_time(left.metrics) == without_time(right.metrics)
    one, two = left.training, right.training
    assert one is not None
    assert two is not None
    for key in ("optimizer", "random"):
        assert_same_tensors(one[key], two[key])
    records = [load_history(p.with_suffix(".history.json")).epochs for p in (a, b)]
    assert without_times(records[0]) == without_times(records[1])


@pytest.mark.promise("A resumed run is bit for bit the run without interruption", cases=1)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=["sgd", "adamw"])
@pytest.mark.parametrize("step", [3, 8, 13, 15], ids=["first-epoch", "boundary", "mid-epoch", "late"])
def test_interrupted_run_goes_on_bitwise(
    optimizer: dict[str, Any], step: int, tmp_path: Path, small: Make, recorder: Callable[..., Any]
) -> None:
    config = small(optimizer=optimizer)
    whole, first, second = recorder(), recorder(interrupt_at(step)), recorder()
    train(config, tmp_path / "whole.pth", reporter=whole)
    with pytest.raises(InterruptedRun, match=r"stopped at epoch \d, step \d+; continue with --resume"):
        train(config, tmp_path / "parts.pth", reporter=first)
    torch.rand(99)  # whatever else the process does in between
    train(config, tmp_path / "parts.pth", resume=True, reporter=second)
    assert first.losses + second.losses == whole.losses
    assert first.rates + second.rates == whole.rates
    assert step <= len(first.losses) <= step + 1
    assert_same_runs(tmp_path / "whole.pth", tmp_path / "parts.pth")


@pytest.mark.promise("A resumed run is bit for bit the run without interruption", cases=1)
def test_interrupted_twice(tmp_path: Path, small: Make, recorder: Callable[..., Any]) -> None:
    train(small(), tmp_path / "whole.pth")
    for act in (interrupt_at(2), interrupt_at(9)):
        with pytest.raises(InterruptedRun):
            train(
                small(),
                tmp_path / "parts.pth",
                resume=(tmp_path / "parts.last.pth").exists(),
                reporter=recorder(act),
            )
    train(small(), tmp_path / "parts.pth", resume=True)
    assert_same_runs(tmp_path / "whole.pth", tmp_path / "parts.pth")


@pytest.mark.parametrize("steps", [5, 8, 12])
def test_fewer_then_more_steps_is_the_same_run(steps: int, tmp_path: Path, small: Make) -> None:
    constant = {"name": "constant", "warmup_steps": 0}
    train(small(schedule=constant), tmp_path / "whole.pth")
    train(small(schedule=constant, train={"max_steps": steps}), tmp_path / "parts.pth")
    train(small(schedule=constant), tmp_path / "parts.pth", resume=True)
    assert_same_runs(tmp_path / "whole.pth", tmp_path / "parts.pth")


@pytest.mark.parametrize("steps", [5, 12])
def test_part_of_an_epoch_is_no_match_for_a_whole_one(
    steps: int, tmp_path: Path, small: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch is worse than the one before, but where `max_steps` cuts one short, the loss is lowest."""

    def evaluate(self: Learner, batches: Any) -> Meter:
        step = int(next(iter(self.optimizer.state.values()))["step"])
        loss = 0.1 if step == steps else float(step)
        return Meter({"loss_sum": [loss], "correct": [0.0], "count": [1.0]}, samples=1)

    monkeypatch.setattr(Learner, "evaluate", evaluate)
    settings: dict[str, Any] = {
        "schedule": {"name": "constant", "warmup_steps": 0},
        "optimizer": OPTIMIZERS[1],
    }
    train(small(**settings), tmp_path / "whole.pth")
    first = train(small(**settings, train={"max_steps": steps}), tmp_path / "parts.pth")
    assert (first.best_epoch, first.figures["loss"]) == (1, 0.1 if steps < 8 else 8.0)
    assert load_checkpoint(first.checkpoint).metrics["val_loss"] == first.figures["loss"]
    train(small(**settings), tmp_path / "parts.pth", resume=True)
    assert_same_runs(tmp_path / "whole.pth", tmp_path / "parts.pth")


def test_saving_every_few_steps_changes_nothing(tmp_path: Path, small: Make) -> None:
    train(small(), tmp_path / "a.pth")
    train(small(train={"save_every": 3}), tmp_path / "b.pth")
    assert_same_runs(tmp_path / "a.pth", tmp_path / "b.pth")


def test_save_every_survives_a_crash(tmp_path: Path, small: Make, recorder: Callable[..., Any]) -> None:
    config = small(train={"save_every": 3})

    def crash(step: int) -> None:
        if step == 14:
            raise RuntimeError("power failure")

    train(config, tmp_path / "whole.pth")
    with pytest.raises(RuntimeError, match="power failure"):
        train(config, tmp_path / "parts.pth", reporter=recorder(crash))
    listener = recorder()
    train(config, tmp_path / "parts.pth", resume=True, reporter=listener)
    assert len(listener.losses) == 24 - 12
    assert_same_runs(tmp_path / "whole.pth", tmp_path / "parts.pth")


def test_finished_run_says_so(tmp_path: Path, small: Make, recorder: Callable[..., Any]) -> None:
    first = train(small(), tmp_path / "m.pth")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    listener = recorder()
    again = train(small(), tmp_path / "m.pth", resume=True, reporter=listener)
    assert "finished already (24 steps)" in listener.infos[-1]
    assert (again.best_epoch, again.figures) == (first.best_epoch, first.figures)
    assert again.history.epochs == first.history.epochs
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    (tmp_path / "m.pth").unlink()
    with pytest.raises(InputError, match=r"m\.pth is gone"):
        train(small(), tmp_path / "m.pth", resume=True)


def test_more_epochs_warn_about_a_cosine(tmp_path: Path, small: Make, recorder: Callable[..., Any]) -> None:
    train(small(), tmp_path / "m.pth")
    listener = recorder()
    result = train(small(train={"epochs": 4}), tmp_path / "m.pth", resume=True, reporter=listener)
    assert "cosine schedule now ends at step 32, not 24" in listener.warnings[0]
    assert [r.epoch for r in result.history.epochs] == [1, 2, 3, 4]


def test_changed_settings_are_all_named(tmp_path: Path, small: Make) -> None:
    train(small(train={"max_steps": 2}), tmp_path / "m.pth")
    changed = small(
        train={"batch_size": 8, "seed": 4}, optimizer={"lr": 0.1}, model={"args": {"hidden": [8]}}
    )
    with pytest.raises(UsageError) as caught:
        train(changed, tmp_path / "m.pth", resume=True)
    for text in (
        "model.args.dropout (0.3 → 0.0)",
        "model.args.hidden ([24] → [8])",
        "optimizer.lr (0.05 → 0.1)",
        "train.batch_size (16 → 8)",
        "train.seed (0 → 4)",
    ):
        assert text in str(caught.value)


def test_harmless_changes_only_warn(tmp_path: Path, small: Make, recorder: Callable[..., Any]) -> None:
    train(small(train={"max_steps": 2}), tmp_path / "m.pth")
    listener = recorder()
    config = small(train={"max_steps": 2, "eval_batch_size": 7})
    train(config, tmp_path / "m.pth", resume=True, reporter=listener)
    assert "train.eval_batch_size changed" in listener.warnings[0]


def test_other_data_is_another_run(tmp_path: Path, small: Make) -> None:
    data = tmp_path / "data.npz"
    nothing = {"images_per_class": None, "test_images_per_class": None, "crop_padding": None}
    config = small(data={"name": "arrays", "root": data, **nothing}, train={"max_steps": 2})

    def write(seed: int) -> None:
        inputs = np.random.default_rng(seed).normal(size=(90, 6)).astype("f4")
        np.savez(data, inputs=inputs, targets=np.arange(90) % 3)

    write(0)
    train(config, tmp_path / "m.pth")
    write(1)
    with pytest.raises(UsageError, match="with other settings: the training data;"):
        train(config, tmp_path / "m.pth", resume=True)


def test_nothing_to_resume(tmp_path: Path, small: Make) -> None:
    with pytest.raises(InputError, match=r"m\.last\.pth does not exist; train without --resume"):
        train(small(), tmp_path / "m.pth", resume=True)


@pytest.mark.parametrize("damage", ["missing", "empty", "wrong"])
def test_damaged_state(damage: str, tmp_path: Path, small: Make) -> None:
    train(small(train={"max_steps": 2}), tmp_path / "m.pth")
    last = tmp_path / "m.last.pth"
    checkpoint: Checkpoint = load_checkpoint(last)
    assert checkpoint.training is not None
    if damage == "missing":
        checkpoint.training = None
    elif damage == "empty":
        checkpoint.training = {}
    else:
        checkpoint.training["random"] = [{"cpu": torch.zeros(3)}]
    save_checkpoint(last, checkpoint)
    with pytest.raises(InputError, match=r"no training state|incomplete|damaged"):
        train(small(), tmp_path / "m.pth", resume=True)


def test_lost_best_weights_are_chosen_anew(tmp_path: Path, small: Make, recorder: Callable[..., Any]) -> None:
    train(small(train={"max_steps": 8}), tmp_path / "m.pth")
    (tmp_path / "m.pth").unlink()
    listener = recorder()
    result = train(small(), tmp_path / "m.pth", resume=True, reporter=listener)
    assert any("is gone; the best weights" in w for w in listener.warnings)
    assert result.best_epoch > 1
    assert load_checkpoint(result.checkpoint).metrics["epoch"] == result.best_epoch


def test_best_weights_that_a_killed_run_had_not_saved_yet_are_written_from_the_state(
    tmp_path: Path, small: Make
) -> None:
    path = tmp_path / "m.pth"
    train(small(train={"max_steps": 8}), path)
    earlier = path.read_bytes()
    result = train(small(train={"epochs": 2}), path, resume=True)
    assert result.best_epoch == 2
    right = path.read_bytes()
    for before in (earlier, right[:5000]):  # the last epoch's file, and a damaged one
        path.write_bytes(before)
        (tmp_path / "m.history.json").unlink()
        again = train(small(train={"epochs": 2}), path, resume=True)
        found = load_checkpoint(path)
        assert found.training is None
        assert found.metrics["epoch"] == again.best_epoch == 2
        assert_same_tensors(found.state, load_checkpoint(tmp_path / "m.last.pth").state)
        assert load_history(tmp_path / "m.history.json").epochs == result.history.epochs


@pytest.mark.parametrize("kind", ["damaged", "another run's"])
def test_a_best_checkpoint_that_is_not_the_runs_is_noticed(tmp_path: Path, small: Make, kind: str) -> None:
    path = tmp_path / "m.pth"
    # The best is not the last: the state can't replace it.
    train(small(train={"max_steps": 10}), path)
    train(small(train={"seed": 5, "max_steps": 8}), tmp_path / "other.pth")
    path.write_bytes(path.read_bytes()[:-100] if kind == "damaged" else (tmp_path / "other.pth").read_bytes())
    with pytest.raises(
        InputError, match=r"m\.pth is damaged, or not the best checkpoint of the run in m\.last"
    ):
        train(small(), path, resume=True)
