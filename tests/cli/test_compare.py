"""`edgetrain compare`, on real history files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.contract import Metric
from edgetrain.artifacts.history import EpochRecord, History, load_history, save_history

METRICS = [
    Metric(name="loss", top="loss_sum", bottom="count", better="lower"),
    Metric(name="accuracy", top="correct", bottom="count", better="higher", is_share=True),
]


@pytest.fixture
def histories(folder: Path) -> list[str]:
    """A reference, and a run whose second training loss is 1 % higher."""
    names = []
    for name, runtime, losses in (("a", "torch", (2.0, 1.0)), ("b", "executorch", (2.0, 1.01))):
        epochs = [EpochRecord(epoch=0).with_figures("val", {"loss": 3.0, "accuracy": 0.1})]
        for i, loss in enumerate(losses, start=1):
            record = EpochRecord(epoch=i, train_loss=loss, train_time_per_sample_s=0.002, steps=10 * i)
            epochs.append(record)
        epochs[-1] = epochs[-1].with_figures("val", {"loss": 0.5, "accuracy": 0.9})
        history = History(
            runtime=runtime,
            device="cpu",
            threads=1,
            seed=0,
            metrics=METRICS,
            epochs=epochs,
            peak_rss_bytes=2**20,
        )
        save_history(folder / f"{name}.history.json", history)
        names.append(f"{name}.history.json")
    return names


def test_json(run: Callable[..., Any], histories: list[str]) -> None:
    ran = run("compare", *histories, "--json")
    assert ran.code == 0
    first, second = json.loads(ran.stdout)["runs"]
    assert [first["runtime"], second["runtime"]] == ["torch", "executorch"]
    assert first["train_loss_rel_difference"] == 0
    assert second["train_loss_rel_difference"] == pytest.approx(0.01)
    assert (second["accuracy_before"], second["accuracy_after"]) == (0.1, 0.9)
    assert second["steps"] == 20
    assert second["time_per_sample_s"] == pytest.approx(0.002)


def _changed(path: str, **changes: Any) -> None:
    save_history(Path(path), load_history(Path(path)).model_copy(update=changes))


def _text(ran: Any) -> str:
    return " ".join(ran.stdout.split())


def test_the_saved_epoch_counts_not_the_last(run: Callable[..., Any], histories: list[str]) -> None:
    history = load_history(Path(histories[0]))
    better = history.epochs[1].with_figures("val", {"loss": 0.4, "accuracy": 0.95})
    _changed(histories[0], epochs=[history.epochs[0], better, history.epochs[2]], best_epoch=1)
    ran = run("compare", *histories)
    assert "saved epoch 1 of 2 2 of 2" in _text(ran)
    assert "accuracy 10.00 % → 95.00 % 10.00 % → 90.00 %" in _text(ran)
    first = json.loads(run("compare", *histories, "--json").stdout)["runs"][0]
    assert (first["saved_epoch"], first["epochs"], first["loss_after"]) == (1, 2, 0.4)


def test_runs_of_other_data_are_not_comparable(run: Callable[..., Any], histories: list[str]) -> None:
    source = {"training data": "1", "validation data": "2", "model": "3"}
    config = {"data": {"name": "digits", "root": None}, "train": {"batch_size": 8, "threads": 1}}
    _changed(histories[0], source=source, config=config)
    _changed(histories[1], source={**source, "validation data": "9", "model": "8"}, config=config)
    ran = run("compare", *histories)
    assert "not comparable: b has other model, validation data than a" in _text(ran)
    assert "training loss differs by 0 –" in _text(ran)
    second = json.loads(run("compare", *histories, "--json").stdout)["runs"][1]
    assert (second["comparable"], second["other_source"]) == (False, ["model", "validation data"])

    _changed(histories[1], source={**source, "starting weights": "5"})
    ran = run("compare", *histories)
    assert "b began with other weights than a" in _text(ran)
    assert "not comparable" not in ran.stdout

    packed = {"data": {"name": "packed", "root": "x.ptd"}, "finetune": {"batch_size": 8, "threads": 2}}
    _changed(histories[1], source=source, config=packed)
    ran = run("compare", *histories)
    assert "comparable" not in ran.stdout
    assert "other" not in ran.stdout
    assert "training loss differs by 0 0.01" in _text(ran)


def test_other_settings_are_named(run: Callable[..., Any], histories: list[str]) -> None:
    source = {"training data": "1", "validation data": "2"}
    config = {"optimizer": {"lr": 0.1, "clip_norm": None}, "train": {"epochs": 2, "save_every": 1}}
    _changed(histories[0], source=source, config=config)
    other = {"optimizer": {"lr": 0.2, "clip_norm": 1.0}, "finetune": {"epochs": 2, "save_every": 5}}
    _changed(histories[1], source=source, config=other)
    ran = run("compare", *histories)
    told = "optimizer.lr 0.2 instead of 0.1, optimizer.clip_norm 1.0 instead of nothing"
    assert f"b has other settings than a: {told}" in _text(ran)
    assert "not comparable" not in ran.stdout
    assert "training loss differs by 0 –" in _text(ran)


def test_old_histories_can_not_tell(run: Callable[..., Any], histories: list[str]) -> None:
    assert "b or a is too old to tell whether both saw the same data" in run("compare", *histories).stdout


def test_table(run: Callable[..., Any], histories: list[str]) -> None:
    ran = run("compare", *histories)
    assert "10.00 % → 90.00 %" in ran.stdout
    assert "2 ms" in ran.stdout
    assert "1.0 MiB" in ran.stdout


def test_regressions_have_no_accuracy(run: Callable[..., Any], folder: Path, history: History) -> None:
    save_history(folder / "c.history.json", history.model_copy(update={"metrics": METRICS[:1]}))
    ran = run("compare", "c.history.json")
    assert "2 → 0.5" in ran.stdout
    assert "accuracy" not in ran.stdout


def test_only_metrics_in_common_are_compared(
    run: Callable[..., Any], folder: Path, histories: list[str], history: History
) -> None:
    save_history(folder / "c.history.json", history.model_copy(update={"metrics": METRICS[:1]}))
    ran = run("compare", histories[0], "c.history.json")
    assert "accuracy" not in ran.stdout
    assert "3 → 0.5" in ran.stdout
    runs = json.loads(run("compare", histories[0], "c.history.json", "--json").stdout)["runs"]
    assert ["accuracy_after" in entry for entry in runs] == [True, False]


def test_a_file_that_is_no_history(run: Callable[..., Any], folder: Path) -> None:
    (folder / "x.json").write_text("{}")
    ran = run("compare", "x.json")
    assert (ran.code, ran.stdout) == (3, "")
    assert "x.json is no history" in ran.stderr


def test_what_real_runs_record(digits_program: Any, tmp_path: Path) -> None:
    from edgetrain.artifacts.run_differences import differences
    from edgetrain.config.stages import FinetuneCommand
    from edgetrain.finetuning import finetune

    def tune(name: str, **data: Any) -> History:
        given = {"name": "digits", "images_per_class": 4, **data}
        settings = {"runtime": "torch", "max_steps": 1}
        config = FinetuneCommand.model_validate({"data": given, "finetune": settings})
        finetune(config, digits_program.program, tmp_path / name)
        return load_history(tmp_path / name.replace(".ptd", ".history.json"))

    first = tune("a.ptd")
    assert differences(tune("b.ptd"), first).same_steps
    shifted = differences(tune("c.ptd", shift=["invert"]), first)
    assert shifted.source == ["training data", "validation data"]
    assert not shifted.comparable
    trained = load_history(digits_program.checkpoint.with_suffix(".history.json"))
    assert trained.best_epoch is not None
    found = differences(first, trained)
    assert found.source == ["starting weights", "training data", "validation data"]
    assert not found.comparable
