"""`edgetrain train`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetrain.artifacts.contract import Metric
from edgetrain.factories import Trusted


def test_default_output_and_table(run, folder, train_calls):
    ran = run("train")
    assert ran.code == 0, ran.stderr
    assert train_calls[0].output == Path("model.pth")
    assert train_calls[0].resume is False
    assert "trained digits_cnn on digits" in ran.stdout
    assert "model.pth" in ran.stdout
    assert "accuracy" not in ran.stdout  # like a regression, the stand-in has none


def test_table_with_an_accuracy(run, folder, fake_stage, train_calls):
    from edgetrain import training

    plain_train = training.train

    def train(*arguments, **options):
        result = plain_train(*arguments, **options)
        metric = Metric(name="pixel_accuracy", top="correct", bottom="count", better="higher", is_share=True)
        result.history.metrics.append(metric)
        result.figures["pixel_accuracy"] = 0.5
        return result

    fake_stage("training", train=train)
    assert "validation pixel accuracy   50.00 %" in run("train").stdout
    assert json.loads(run("train", "--json", "--force").stdout)["val_pixel_accuracy"] == 0.5


def test_json(run, folder, train_calls):
    document = json.loads(run("train", "--json", "-o", "net.pth").stdout)
    assert document["schema_version"] == 1
    assert document["command"] == "train"
    assert document["checkpoint"] == "net.pth"
    assert document["val_loss"] is None
    assert len(document["history"]["epochs"]) == 2


@pytest.mark.parametrize("name", ["model.pth", "model.last.pth", "model.history.json"])
def test_existing_outputs(run, folder, train_calls, name):
    (folder / name).write_text("old")
    ran = run("train")
    assert (ran.code, ran.stderr.startswith(f"error: {name} exists already")) == (2, True)
    assert not train_calls
    for arguments in (["--force"], ["--resume"], ["-o", "model.pth"]):
        assert run("train", *arguments).code == 0
    assert [call.resume for call in train_calls] == [False, True, False]


@pytest.mark.parametrize("name", ["model.pte", "model", "out.pth/model"])
def test_a_checkpoint_ends_in_pth(run, folder, train_calls, name):
    ran = run("train", "-o", name)
    wanted = Path(name).with_suffix(".pth")
    assert (ran.code, ran.stderr) == (
        2,
        f"error: Invalid value for '--output' / '-o': {name} does not end in .pth; name it {wanted}; "
        "see edgetrain train --help\n",
    )
    assert not train_calls


@pytest.mark.parametrize("output", [".", "out.pth/"])
def test_a_folder_is_no_output(run, folder, train_calls, output):
    (folder / "out.pth").mkdir()
    ran = run("train", "-o", output)
    assert ran.code == 2
    assert "is a folder; name a file in it" in ran.stderr
    assert not train_calls


def test_export_follows(run, train_calls, fake_stage, folder):
    (folder / "c.yaml").write_text("export:\n  max_batch_size: 4\n")
    (folder / "my").mkdir()
    exports = []

    def export(config, checkpoint, output, *, trusted, reporter):
        exports.append((config.export.max_batch_size, checkpoint, output, trusted))
        return SimpleNamespace(
            program=output.with_suffix(".pte"), weights=None, verification=SimpleNamespace(gradients=3e-7)
        )

    fake_stage("export", export=export)
    arguments = (
        "train",
        "--export",
        "--config",
        "c.yaml",
        "--model",
        "my.models:net",
        "--loss",
        "my.losses:loss",
    )
    ran = run(*arguments, "-o", "out/net.pth")
    assert ran.code == 0, ran.stderr
    assert exports == [(4, Path("out/net.pth"), Path("out/net"), Trusted("my.models:net", "my.losses:loss"))]
    assert "largest gradient error" in ran.stdout
    (folder / "model.pte").touch()
    ran = run(*arguments)
    assert (ran.code, len(train_calls)) == (2, 1)
    assert "model.pte exists already" in ran.stderr


def test_rounding_is_learned_from_a_checkpoint(run, folder, train_calls):
    ran = run("train", "--qat")
    assert (ran.code, ran.stderr) == (
        2,
        "error: --qat goes on from a trained model; name its checkpoint with --start\n",
    )
    assert not train_calls


def test_a_checkpoint_to_start_from_is_looked_at_first(run, folder, train_calls, stand_in):
    assert "no.pth does not exist" in run("train", "--start", "no.pth").stderr
    program = stand_in("model.pte", "program")
    ran = run("train", "--start", program)
    assert ran.code == 3
    assert "train --start takes a checkpoint" in ran.stderr
    assert not train_calls
