"""Where a command may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from edgetrain.artifacts.tensors import write_tensors
from edgetrain.cli.outputs import claim_outputs, default_output, same_file
from edgetrain.errors import EdgetrainError, UsageError


@pytest.fixture
def existing(tmp_path):
    path = tmp_path / "model.pth"
    path.write_text("old")
    return path


def test_names():
    assert default_output(Path("net/model.pth")) == Path("net/model")
    assert default_output(Path("model.pte"), ".tuned.ptd") == Path("model.tuned.ptd")


def test_explicit_outputs_are_replaced(existing):
    claim_outputs([(existing, "checkpoint")], explicit=True)
    assert existing.read_text() == "old"


def test_existing_defaults_are_kept_unless_forced(existing):
    with pytest.raises(UsageError, match="--force"):
        claim_outputs([(existing, "checkpoint")], explicit=False)
    claim_outputs([(existing, "checkpoint")], explicit=False, force=True)


def test_a_dangling_link_is_an_existing_default(tmp_path):
    link = tmp_path / "model.pth"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="exists already"):
        claim_outputs([(link, "checkpoint")], explicit=False)


@pytest.mark.parametrize("kind", ["same", "relative", "symlink", "hardlink", "linked folder"])
def test_an_output_that_is_an_input_is_refused(existing, tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other.pth"
    if kind == "same":
        other = existing
    elif kind == "relative":
        other = Path("sub/../model.pth")
        (tmp_path / "sub").mkdir()
    elif kind == "symlink":
        other.symlink_to(existing)
    elif kind == "hardlink":
        os.link(existing, other)
    else:
        (tmp_path / "link").symlink_to(tmp_path)
        other = tmp_path / "link" / "model.pth"
    with pytest.raises(UsageError, match="is also read"):
        claim_outputs([(other, "checkpoint")], inputs=[None, existing], explicit=True, force=True)


def test_the_same_missing_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    assert same_file(tmp_path / "x", tmp_path / "link" / "x")
    assert not same_file(tmp_path / "x", tmp_path / "y")


def test_two_outputs_of_one_name(tmp_path):
    with pytest.raises(UsageError, match="written twice"):
        claim_outputs([(tmp_path / "a", "history"), (tmp_path / "a", "picture")], explicit=True)


def test_outputs_with_an_option_of_their_own(existing, tmp_path):
    claim_outputs([(tmp_path / "a", "history")], named=[(existing, "checkpoint")], explicit=False)
    with pytest.raises(UsageError, match="written twice"):
        claim_outputs(
            [(tmp_path / "a", "history")], named=[(tmp_path / "a", "picture")], explicit=True, force=True
        )
    with pytest.raises(UsageError, match="is also read"):
        claim_outputs(
            [(tmp_path / "a", "history")], named=[(existing, "checkpoint")], inputs=[existing], explicit=True
        )


def test_devices_are_left_alone():
    with pytest.raises(UsageError, match="no regular file"):
        claim_outputs([(Path("/dev/null"), "history")], explicit=True, force=True)


@pytest.mark.promise("Where nothing can be written, a command says so before it works")
def test_folders_and_unwritable_places(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        claim_outputs([(tmp_path, "history")], explicit=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgetrainError, match="can't write"):
        claim_outputs([(tmp_path / "file" / "model.pth", "checkpoint")], explicit=True)


def test_nothing_is_left_behind(tmp_path):
    claim_outputs([(tmp_path / "new" / "model.pth", "checkpoint")], explicit=True)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_file_of_another_kind_is_kept_unless_forced(tmp_path):
    path = tmp_path / "tuned.ptd"
    write_tensors(path, {"w": torch.zeros(2)})
    with pytest.raises(UsageError, match=r"tuned\.ptd is a file of weights, which a packed data set would"):
        claim_outputs([(path, "packed data set")], explicit=True)
    claim_outputs([(path, "file of weights")], explicit=True)
    claim_outputs([(path, "packed data set")], explicit=True, force=True)
    description = path.with_suffix(".json")
    description.write_text('{"samples": 3}')
    claim_outputs([(path, "packed data set"), (description, "description of packed data")], explicit=True)
    with pytest.raises(UsageError, match="is a packed data set, which a file of weights would replace"):
        claim_outputs([(path, "file of weights")], explicit=True)


def test_a_model_of_another_program_is_kept_unless_forced(tmp_path):
    path = tmp_path / "model.pth"
    path.write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(UsageError, match=r"is a GGUF model, .*, which a checkpoint would replace"):
        claim_outputs([(path, "checkpoint")], explicit=True)
    claim_outputs([(path, "checkpoint")], explicit=True, force=True)


def test_going_on_replaces_defaults_of_the_same_kind_alone(existing, tmp_path):
    claim_outputs([(existing, "checkpoint")], explicit=False, resume=True)
    write_tensors(existing, {"w": torch.zeros(2)})
    with pytest.raises(UsageError, match="is a file of weights"):
        claim_outputs([(existing, "checkpoint")], explicit=False, resume=True)
