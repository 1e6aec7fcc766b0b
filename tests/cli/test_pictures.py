"""`train` and `finetune` draw their history."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetrain.artifacts.history import save_history
from edgetrain.errors import CheckFailedError, InterruptedRun


@pytest.fixture
def writing(fake_stage, history):
    """A training that writes a history, and nothing else, and may end with an error; returns the errors."""
    ends = []

    def train(config, output, **more):
        from types import SimpleNamespace

        save_history(output.with_name("model.history.json"), history)
        if ends:
            raise ends.pop()
        return SimpleNamespace(
            checkpoint=output,
            last=output,
            history_path=output.with_name("model.history.json"),
            history=history,
            best_epoch=1,
            figures={"loss": 0.5},
        )

    fake_stage("training", train=train)
    return ends


def test_a_picture_beside_the_history(run, folder, writing):
    ran = run("train")
    assert ran.code == 0, ran.stderr
    assert "model.history.png" in ran.stdout
    assert Path("model.history.png").read_bytes().startswith(b"\x89PNG")
    ran = run("train", "--picture", "svg", "--force")
    assert (ran.code, Path("model.history.svg").read_text()[:5]) == (0, "<?xml")


def test_none_is_wanted(run, folder, writing):
    assert "png" not in run("train", "--picture", "none").stdout
    assert not list(folder.glob("*.png"))


def test_an_interrupted_run_is_drawn_and_a_failed_one_is_not(run, folder, writing):
    writing.append(CheckFailedError("the loss is not finite"))
    assert (run("train").code, list(folder.glob("*.png"))) == (4, [])
    writing.append(InterruptedRun("stopped"))
    assert (run("train", "--force").code, Path("model.history.png").is_file()) == (130, True)


def test_a_picture_that_is_there_is_not_replaced(run, folder, writing):
    Path("model.history.png").write_text("mine")
    ran = run("train")
    assert (ran.code, "model.history.png exists already" in ran.stderr) == (2, True)


def test_a_run_is_worth_more_than_its_picture(run, folder, writing, monkeypatch):
    from edgetrain.engine import curves

    def fail(*given):
        raise ImportError("no matplotlib")

    monkeypatch.setattr(curves, "drawn", fail)
    ran = run("train")
    assert (ran.code, "warning: there is no picture of the run: no matplotlib" in ran.stderr) == (0, True)
