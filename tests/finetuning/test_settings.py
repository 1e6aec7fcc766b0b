"""Settings mean the same in every runtime: batches that make one step, clipping, learning rates of their own,
the order of samples, how often and what is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import load_run
from edgetrain.artifacts.tensors import read_tensors
from edgetrain.config.stages import FinetuneCommand
from edgetrain.errors import CheckFailedError, InterruptedRun, UsageError
from edgetrain.finetuning.stage import finetune_here as finetune
from edgetrain.runner import find_runner

RUNTIMES = ("executorch", "torch", "native") if find_runner() else ("executorch", "torch")
DIGITS = {"name": "digits", "images_per_class": 10, "test_images_per_class": 5, "shift": ["rotate:90"]}


def _config(runtime: str, optimizer: dict[str, Any] | None = None, **settings: Any) -> FinetuneCommand:
    """100 samples in batches of 15: 7 an epoch, the last of 10 samples."""
    return FinetuneCommand.model_validate(
        {
            "data": DIGITS,
            "optimizer": {
                "lr": 0.05,
                "clip_norm": 0.2,
                "groups": {"classifier.*": 0.01},
                **(optimizer or {}),
            },
            "finetune": {"runtime": runtime, "batch_size": 15, "threads": 1, **settings},
        }
    )


def _figures(result: Any) -> list[Any]:
    return [
        {k: v for k, v in record.model_dump().items() if "time" not in k} for record in result.history.epochs
    ]


@pytest.mark.parametrize("optimizer", [{"name": "sgd"}, {"name": "adam", "eps": 1e-5, "lr": 0.003}])
def test_runtimes_train_alike(digits_program: Any, tmp_path: Path, optimizer: dict[str, Any]) -> None:
    """Of seven batches two and two make a step, the last one is alone."""
    found = {}
    for runtime in RUNTIMES:
        config = _config(runtime, optimizer, epochs=2, accumulate=2, shuffle=False)
        found[runtime] = _figures(finetune(config, digits_program.program, tmp_path / f"{runtime}.ptd"))
    assert [record["steps"] for record in found["torch"]] == [0, 4, 8]
    for runtime in RUNTIMES:
        for record, expected in zip(found[runtime], found["torch"], strict=True):
            for name, value in expected.items():
                # The last bits decide about a sample at the border of two classes.
                least = 0.03 if "accuracy" in name else 0
                close = None if value is None else pytest.approx(value, rel=1e-4, abs=least)
                assert record[name] == close, (runtime, name)


def test_settings_have_an_effect(digits_program: Any, tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"accumulate": 2},
        {"shuffle": False},
        {"optimizer": {"clip_norm": None}},
        {"optimizer": {"groups": {}}},
    ]
    losses = set()
    for change in changes:
        config = _config("executorch", change.pop("optimizer", None), epochs=1, **change)
        losses.add(finetune(config, digits_program.program, tmp_path / "t.ptd").after.loss)
    assert len(losses) == len(changes)


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("save", ["trainable", "delta"])
def test_saving_less_than_all_weights(digits_program: Any, tmp_path: Path, runtime: str, save: str) -> None:
    """What such a file holds is a start for the next run, in any runtime."""
    tuned = tmp_path / "t.ptd"
    result = finetune(_config(runtime, epochs=1, save=save), digits_program.program, tuned)
    assert read_tensors(tuned).contents.holds == save
    whole = finetune(_config(runtime, epochs=1), digits_program.program, tmp_path / "whole.ptd")
    expected = load_program(digits_program.program, whole.weights).tensors()
    found = load_program(digits_program.program, tuned).tensors()
    assert all(torch.allclose(found[name], expected[name], rtol=1e-6, atol=1e-7) for name in expected)
    for other in RUNTIMES:
        more = finetune(
            _config(other, epochs=1), digits_program.program, tmp_path / "more.ptd", weights=tuned
        )
        assert more.before is not None
        assert more.before.loss == pytest.approx(result.after.loss, rel=1e-5)
    output, config = tmp_path / "parts.ptd", _config(runtime, epochs=1, save=save, max_steps=3)
    finetune(config, digits_program.program, output)
    finetune(_config(runtime, epochs=1, save=save), digits_program.program, output, resume=True)
    assert output.read_bytes() == tuned.read_bytes()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_resuming_is_exact(digits_program: Any, tmp_path: Path, runtime: str) -> None:
    settings: dict[str, Any] = {"epochs": 3, "accumulate": 2}
    whole = finetune(_config(runtime, **settings), digits_program.program, tmp_path / "whole.ptd")
    output = tmp_path / "parts.ptd"
    finetune(_config(runtime, max_steps=6, **settings), digits_program.program, output)
    record = load_run(tmp_path / "parts.state.ptd").record
    assert (record.runtime, record.epoch, record.batch, record.step) == (runtime, 1, 4, 6)
    assert record.samples == 60
    assert record.sums["count"] == [60]
    resumed = finetune(_config(runtime, **settings), digits_program.program, output, resume=True)
    assert output.read_bytes() == whole.weights.read_bytes()
    assert _figures(resumed) == _figures(whole)


def test_a_run_is_gone_on_with_where_it_was_saved(digits_program: Any, tmp_path: Path) -> None:
    output = tmp_path / "t.ptd"
    finetune(_config("executorch", max_steps=1), digits_program.program, output)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        UsageError,
        match=r"another runtime: t\.state\.ptd was saved by executorch; go on with --runtime executorch",
    ):
        finetune(_config("torch", max_steps=2), digits_program.program, output, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    resumed = finetune(_config("auto", max_steps=2), digits_program.program, output, resume=True)
    assert resumed.history.runtime == "executorch"


@pytest.mark.parametrize("runtime", ["executorch", "torch"])
def test_saving_within_an_epoch(digits_program: Any, tmp_path: Path, listener: Any, runtime: str) -> None:
    output, seen = tmp_path / "t.ptd", {}

    def look(step: int) -> None:
        state = tmp_path / "t.state.ptd"
        seen[step] = load_run(state).record.step if state.exists() else 0

    config = _config(runtime, epochs=1, save_every=2)
    finetune(config, digits_program.program, output, reporter=listener(look))
    # Looked at before the step's own turn to save.
    assert seen == {1: 0, 2: 0, 3: 2, 4: 2, 5: 4, 6: 4, 7: 6}


def test_what_a_failed_run_leaves(digits_program: Any, tmp_path: Path) -> None:
    config = _config("executorch", {"lr": 1e4, "clip_norm": None, "groups": {}}, save_every=1, epochs=50)
    with pytest.raises(CheckFailedError, match=r"the output still holds the weights after step \d+;"):
        finetune(config, digits_program.program, tmp_path / "t.ptd")
    tensors = load_program(digits_program.program, tmp_path / "t.ptd").tensors()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def test_the_usual_batch_size(digits_program: Any, inline_program: Any, tmp_path: Path) -> None:
    """32, or as many as the program takes."""
    for made, suffix, size in ((digits_program, ".ptd", 32), (inline_program, ".pte", 16)):
        config = _config("executorch", {"groups": {}}, batch_size=None, max_steps=1)
        result = finetune(config, made.program, tmp_path / f"t{suffix}")
        assert result.history.config["finetune"]["batch_size"] == size
        finetune(config, made.program, tmp_path / f"t{suffix}", resume=True)


def test_what_does_not_fit(digits_program: Any, inline_program: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--group head\.\* fits no trainable parameter"):
        finetune(
            _config("executorch", {"groups": {"head.*": 1.0}}), digits_program.program, tmp_path / "t.ptd"
        )
    with pytest.raises(UsageError, match="leave --save trainable out"):
        finetune(_config("executorch", save="trainable"), inline_program.program, tmp_path / "t.pte")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_between_the_batches_of_a_step(
    digits_program: Any, tmp_path: Path, listener: Any
) -> None:
    """A step is finished first."""
    import os
    import signal

    def stop(step: int) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    config, output = _config("executorch", epochs=1, accumulate=3), tmp_path / "t.ptd"
    with pytest.raises(InterruptedRun, match="stopped in epoch 1 after step 2"):
        finetune(config, digits_program.program, output, reporter=listener(stop))
    assert load_run(tmp_path / "t.state.ptd").record.batch == 6
    resumed = finetune(config, digits_program.program, output, resume=True)
    whole = finetune(config, digits_program.program, tmp_path / "whole.ptd")
    assert _figures(resumed) == _figures(whole)
