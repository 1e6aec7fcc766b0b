"""Who updates the weights: the program where its optimizer does what is asked for, else one outside of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.history import load_history
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import load_run
from edgetrain.config.stages import ExportCommand, FinetuneCommand
from edgetrain.errors import CheckFailedError, UsageError
from edgetrain.export import export
from edgetrain.finetuning.stage import finetune_here as finetune

DIGITS = {"name": "digits", "images_per_class": 10, "test_images_per_class": 5, "shift": ["rotate:90"]}
ADAM = {"name": "adam", "eps": 1e-5, "weight_decay": 0.01, "groups": {"*.bias": 0.02}}


def _config(optimizer: dict[str, Any] | None = None, **settings: Any) -> FinetuneCommand:
    """100 samples in batches of 15: 7 steps, the last of 10 samples."""
    base = {"runtime": "executorch", "epochs": 1, "batch_size": 15, "threads": 1}
    sections = {"data": DIGITS, "optimizer": optimizer or {}, "finetune": {**base, **settings}}
    return FinetuneCommand.model_validate(sections)


@pytest.fixture(scope="module")
def split_program(digits_program: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits model with an Adam of its own that nobody else can stand in for, planned for 4 samples."""
    settings = {"optimizer": ADAM, "export": {"update_in_graph": "on", "micro_batch": 4}}
    folder = tmp_path_factory.mktemp("split")
    config = ExportCommand.model_validate(settings)
    return export(config, digits_program.checkpoint, folder / "model").program


@pytest.mark.parametrize(
    ("optimizer", "settings", "how"),
    [
        ({"lr": 0.05}, {}, "in the graph"),
        ({"clip_norm": 1.0}, {}, "outside of the graph: clip_norm needs all gradients of a step at once"),
        ({}, {"accumulate": 2}, "outside of the graph: accumulate adds up the gradients of several batches"),
        (
            {"momentum": 0.5},
            {},
            "outside of the graph: the program's own optimizer has momentum 0.9, not 0.5",
        ),
        ({}, {"runtime": "torch"}, "outside of the graph: eager PyTorch runs no program"),
    ],
)
def test_a_run_says_how_and_why(
    digits_program: Any,
    tmp_path: Path,
    listener: Any,
    optimizer: dict[str, Any],
    settings: dict[str, Any],
    how: str,
) -> None:
    heard = listener()
    config = _config(optimizer, max_steps=1, **settings)
    finetune(config, digits_program.program, tmp_path / "t.ptd", reporter=heard)
    note = load_history(tmp_path / "t.history.json").notes[0]
    assert note in heard.messages
    assert note == f"the weights are updated {how}"


@pytest.mark.promise("A resumed run is bit for bit the run without interruption")
def test_it_resumes_exactly(digits_program: Any, tmp_path: Path) -> None:
    whole = finetune(_config({"lr": 0.05}, epochs=2), digits_program.program, tmp_path / "whole.ptd")
    output = tmp_path / "parts.ptd"
    for steps in (1, 5, 14):
        finetune(
            _config({"lr": 0.05}, epochs=2, max_steps=steps),
            digits_program.program,
            output,
            resume=steps > 1,
        )
    assert output.read_bytes() == whole.weights.read_bytes()
    found, expected = (load_run(tmp_path / f"{name}.state.ptd") for name in ("parts", "whole"))
    assert found.first.keys() == set(load_program(digits_program.program).manifest.contract.trainable)
    assert all(torch.equal(found.first[name], tensor) for name, tensor in expected.first.items())


def test_what_nobody_sets_is_the_programs(split_program: Path, tmp_path: Path, listener: Any) -> None:
    """Batches may be larger than it takes at a time."""
    heard = {"executorch": listener(), "torch": listener()}
    for runtime, reporter in heard.items():
        config = _config({"lr": 0.002}, runtime=runtime, accumulate=2, batch_size=None, epochs=3)
        result = finetune(config, split_program, tmp_path / f"{runtime}.ptd", reporter=reporter)
        found = result.history.config
        assert found["finetune"]["batch_size"] == 32
        expected = {**ADAM, "lr": 0.002, "clip_norm": None, "groups": {"*.bias": pytest.approx(0.004)}}
        assert {key: found["optimizer"][key] for key in expected} == expected
    assert heard["executorch"].losses == pytest.approx(heard["torch"].losses, rel=1e-4)
    assert len(heard["torch"].losses) == 6


def test_a_state_of_two_moments(split_program: Path, tmp_path: Path) -> None:
    whole = finetune(_config({"lr": 0.002}), split_program, tmp_path / "whole.ptd")
    finetune(_config({"lr": 0.002}, max_steps=3), split_program, tmp_path / "parts.ptd")
    state = load_run(tmp_path / "parts.state.ptd")
    assert (state.record.optimizer_steps, state.first.keys()) == (3, state.second.keys())
    finetune(_config({"lr": 0.002}), split_program, tmp_path / "parts.ptd", resume=True)
    assert (tmp_path / "parts.ptd").read_bytes() == whole.weights.read_bytes()


@pytest.mark.parametrize(
    ("optimizer", "why"),
    [
        ({"clip_norm": 1.0}, "clip_norm needs all gradients of a step at once"),
        ({"name": "sgd"}, "the program's own optimizer is adam, not sgd"),
        ({"groups": {}}, "other groups"),
    ],
)
def test_neither_way(split_program: Path, tmp_path: Path, optimizer: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=rf"{why}.*, but .*model\.pte keeps its gradients to itself; "):
        finetune(_config(optimizer), split_program, tmp_path / "t.ptd")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite(split_program: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="not finite"):
        finetune(_config({"lr": 1e36}), split_program, tmp_path / "t.ptd")
    assert not (tmp_path / "t.ptd").exists()
