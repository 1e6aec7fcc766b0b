"""Pruned models stay pruned on the device, and learn there what eager learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgetrain.artifacts.checkpoint import load_checkpoint, save_checkpoint
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS
from edgetrain.config.stages import ExportCommand, FinetuneCommand
from edgetrain.export import export
from edgetrain.finetuning.stage import finetune_here as finetune
from edgetrain.models import build_model
from edgetrain.optimize.pruning import prune
from edgetrain.runner import find_runner

THOROUGH = (pytest.mark.slow, pytest.mark.thorough)
RUNTIMES = ["executorch", *([] if find_runner() is None else ["native"])]
DIGITS = {"name": "digits", "images_per_class": 10, "test_images_per_class": 5, "shift": ["rotate:90"]}
MOMENTUM = {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}
ADAM = {"name": "adam", "lr": 0.003, "eps": 1e-5, "weight_decay": 1e-3}


def pruned_checkpoint(source: Path, path: Path, **settings: Any) -> Path:
    """The digits model, pruned."""
    checkpoint = load_checkpoint(source)
    model = build_model(checkpoint.model)
    model.load_state_dict(checkpoint.state)
    shape = checkpoint.inputs[INPUTS].shape
    result = prune(model, inputs={INPUTS: torch.randn(2, *shape)}, **settings)
    save_checkpoint(path, replace(checkpoint, state=model.state_dict(), transforms=result.transforms))
    return path


def zeros(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor == 0 for name, tensor in tensors.items() if tensor.dim() > 1}


@pytest.mark.parametrize(
    ("settings", "optimizer", "update"),
    [
        pytest.param({"kind": "2:4"}, MOMENTUM, "on", id="2:4"),
        pytest.param({"kind": "unstructured", "ratio": 0.6}, ADAM, "on", id="adam", marks=THOROUGH),
        pytest.param({"kind": "2:4"}, MOMENTUM, "off", id="outside of the graph", marks=THOROUGH),
        pytest.param({"ratio": 0.3}, MOMENTUM, "on", id="channels", marks=THOROUGH),
    ],
)
def test_every_runtime_trains_what_is_left(
    digits_program: Any,
    tmp_path: Path,
    listener: Any,
    settings: dict[str, Any],
    optimizer: dict[str, Any],
    update: str,
) -> None:
    checkpoint = pruned_checkpoint(digits_program.checkpoint, tmp_path / "pruned.pth", **settings)
    exporting = {"optimizer": optimizer, "export": {"update_in_graph": update, "max_batch_size": 15}}
    program = export(ExportCommand.model_validate(exporting), checkpoint, tmp_path / "model").program
    before = zeros(load_program(program).tensors())
    share = torch.cat([mask.flatten() for mask in before.values()]).float().mean()
    assert share == pytest.approx({"2:4": 0.5, "unstructured": 0.6}.get(settings.get("kind"), 0.0), abs=0.01)
    losses = {}
    for runtime in ("torch", *RUNTIMES):
        heard = listener()
        config = {"runtime": runtime, "epochs": 2, "batch_size": 15, "threads": 1, "seed": 3}
        command = {"data": DIGITS, "optimizer": optimizer, "finetune": config}
        result = finetune(
            FinetuneCommand.model_validate(command), program, tmp_path / f"{runtime}.ptd", reporter=heard
        )
        losses[runtime] = heard.losses
        tuned = load_program(program, result.weights).tensors()
        found = zeros(tuned)
        assert before.keys() == found.keys()
        for name, mask in before.items():
            assert torch.equal(found[name], mask), f"{name} in {runtime}"
    assert losses["torch"][-1] < losses["torch"][0]
    for runtime in RUNTIMES:
        assert losses[runtime] == pytest.approx(losses["torch"], rel=1e-3), runtime
