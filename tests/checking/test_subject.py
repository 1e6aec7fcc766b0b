"""What is checked, by name or from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.checking import subject_of
from edgetrain.config.stages import CheckCommand
from edgetrain.errors import InputError, UsageError

MODULE = """
import torch
from torch import nn

class Dense(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.layer = nn.Conv2d(3, num_classes, 1)

    def forward(self, image, mask):
        return self.layer(image) * mask
"""


def command(name: str, *shapes: str, args: dict[str, Any] | None = None, **settings: Any) -> CheckCommand:
    task = settings.pop("task", "auto")
    return CheckCommand.model_validate(
        {
            "check": {"input_shape": shapes, **settings},
            "model": {"name": name, "args": args or {}},
            "task": {"name": task},
        }
    )


def test_a_model_by_name_is_filled_in() -> None:
    subject = subject_of(command("digits_cnn", "1,8,8", num_classes=7, batch_size=2, batch_norm="train"))
    assert subject.task.spec.name == "classification"
    assert subject.source.model.args["num_classes"] == 7
    assert (subject.settings.max_batch_size, subject.settings.batch_norm) == (2, "train")
    again = subject_of(command("digits_cnn", "1,8,8", num_classes=7))
    other = subject_of(command("digits_cnn", "1,8,8", num_classes=7, seed=1))
    first, same, different = (next(s.module.parameters()) for s in (subject, again, other))
    assert torch.equal(first, same)
    assert not torch.equal(first, different)


def test_outputs_say_what_the_task_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edgetrain_checked.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    subject = subject_of(command("edgetrain_checked:Dense", "3,4,4", "1,4,4", num_classes=5))
    assert subject.task.spec.name == "segmentation"
    assert list(subject.source.inputs) == ["image", "mask"]
    ids = ("text_transformer", "8:int64")
    assert subject_of(command(*ids, num_classes=9)).task.spec.name == "token-classification"
    assert subject_of(command(*ids, num_classes=9, task="next-token")).task.spec.name == "next-token"


def test_what_cannot_be_checked() -> None:
    with pytest.raises(UsageError, match="--input-shape 3,64,64"):
        subject_of(command("digits_cnn"))
    with pytest.raises(UsageError, match="there is no model 'digits_cn'"):
        subject_of(command("digits_cn", "1,8,8"))
    with pytest.raises(InputError, match=r"torchvision:alexnet fails on inputs of inputs \[3, 16, 16\]"):
        subject_of(command("torchvision:alexnet", "3,16,16"))


def test_a_checkpoint_says_what_it_takes(digits_program: Any) -> None:
    checkpoint = digits_program.checkpoint
    subject = subject_of(CheckCommand(), checkpoint)
    (spec,) = subject.source.inputs.values()
    assert (spec.shape, subject.path) == ((1, 8, 8), checkpoint)
    with pytest.raises(UsageError, match="leave out --input-shape"):
        subject_of(command("digits_cnn", "1,8,8"), checkpoint)
