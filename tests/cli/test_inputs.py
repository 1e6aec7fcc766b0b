"""Files of the wrong kind are refused before any work, with what brings them over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from edgetrain.cli.inputs import check_input
from edgetrain.errors import InputError


def _refusal(command: str, path: Path, wanted: str) -> str:
    with pytest.raises(InputError) as refused:
        check_input(command, path, wanted)
    return str(refused.value)


def test_a_folder_with_a_model_of_another_library(tmp_path: Path) -> None:
    assert "convert" not in _refusal("export", tmp_path, "checkpoint")
    save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    said = _refusal("export", tmp_path, "checkpoint")
    assert said.endswith(f"bring the model in it over first: edgetrain convert {tmp_path} --to pth")
    said = _refusal("finetune", tmp_path, "program")
    assert said.endswith(f"edgetrain convert {tmp_path} --to train")
    assert "convert" not in _refusal("compare", tmp_path, "history")


def test_checkpoints_in_place_of_programs(tmp_path: Path) -> None:
    own, foreign = tmp_path / "own.pth", tmp_path / "foreign.pth"
    torch.save({"format": "edgetrain.checkpoint"}, own)
    torch.save({"state_dict": {"w": torch.ones(2)}}, foreign)
    said = _refusal("finetune", own, "program")
    assert said.endswith(f"make one with 'edgetrain export {own}'")
    said = _refusal("finetune", foreign, "program")
    assert "edgetrain did not write" in said
    assert said.endswith(f"edgetrain convert {foreign} --to train")
