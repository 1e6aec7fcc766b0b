"""`edgetrain finetune`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetrain.artifacts.contract import Metric


@pytest.fixture
def calls(fake_stage, folder, stand_in, history):
    calls = []

    def finetune(config, program, output, *, weights, resume, to_pth, from_pth, trusted, reporter):
        calls.append(SimpleNamespace(**locals()))
        return SimpleNamespace(
            weights=output,
            history_path=output.with_suffix(".json"),
            history=history,
            state_path=output.with_suffix(".state.ptd"),
            checkpoint=to_pth,
            before=None if resume else SimpleNamespace(figures={"loss": 2.0, "accuracy": 0.25}),
            after=SimpleNamespace(figures={"loss": 0.5, "accuracy": 0.75}),
        )

    fake_stage(
        "finetuning",
        finetune=finetune,
        default_output=lambda program: program.with_name(f"{program.stem}.tuned.ptd"),
    )
    stand_in("net.pte", "program")
    stand_in("net.ptd", "file of weights")
    (folder / "net.json").write_text("manifest")
    return calls


def test_default_output_and_table(run, calls):
    ran = run("finetune", "net.pte", "--runtime", "torch", "--lr", "0.5")
    assert ran.code == 0, ran.stderr
    call = calls[0]
    assert (call.program, call.output, call.weights, call.to_pth) == (
        Path("net.pte"),
        Path("net.tuned.ptd"),
        None,
        None,
    )
    assert (call.config.finetune.runtime, call.config.optimizer.lr) == ("torch", 0.5)
    for text in ("before", "after", "accuracy", "0.25", "0.75", "2 ms", "net.tuned.ptd"):
        assert text in ran.stdout


def test_trusted_code_and_the_source_of_a_checkpoint(run, calls, stand_in):
    stand_in("net.pth", "checkpoint")
    code = ["--model", "mine:net", "--loss", "mine:loss"]
    ran = run("finetune", "net.pte", *code, "--to-pth", "t.pth", "--from-pth", "net.pth")
    assert ran.code == 0, ran.stderr
    assert (calls[0].trusted.model, calls[0].trusted.loss) == ("mine:net", "mine:loss")
    assert calls[0].from_pth == Path("net.pth")
    ran = run("finetune", "net.pte", "--to-pth", "net.pth", "--from-pth", "net.pth", "--force")
    assert (ran.code, "is also read" in ran.stderr) == (2, True)
    ran = run("finetune", "net.pte", "--to-pth", "t.pth", "--from-pth", "net.pte")
    assert ran.code == 3
    assert "finetune --from-pth takes a checkpoint" in ran.stderr


def test_every_metric_has_a_row(run, calls, history):
    history.metrics = [
        Metric(name="loss", top="loss_sum", bottom="count", better="lower"),
        Metric(name="accuracy", top="correct", bottom="count", better="higher", is_share=True),
    ]
    ran = run("finetune", "net.pte")
    assert "loss" in ran.stdout
    assert "75.00 %" in ran.stdout


def test_a_regression_has_no_accuracy(run, calls, fake_stage):
    from edgetrain import finetuning

    plain_finetune = finetuning.finetune

    def finetune(*arguments, **options):
        result = plain_finetune(*arguments, **options)
        result.before.figures, result.after.figures = {"loss": 2.0}, {"loss": 0.5}
        return result

    fake_stage("finetuning", finetune=finetune)
    ran = run("finetune", "net.pte")
    assert ran.code == 0, ran.stderr
    assert "accuracy" not in ran.stdout


def test_json_and_resume(run, calls, folder):
    (folder / "net.tuned.ptd").write_text("old")
    ran = run("finetune", "net.pte", "--resume", "--json", "--to-pth", "tuned.pth")
    document = json.loads(ran.stdout)
    assert document["before"] == {"loss": None}
    assert document["after"] == {"loss": 0.5, "accuracy": 0.75}
    assert document["checkpoint"] == "tuned.pth"
    assert calls[0].resume is True


@pytest.mark.parametrize(
    ("name", "runtime"),
    [
        ("net.tuned.ptd", "torch"),
        ("net.tuned.history.json", "native"),
        ("net.tuned.state.ptd", "native"),
        ("net.tuned.state.ptd", "executorch"),
    ],
)
def test_existing_defaults(run, calls, folder, name, runtime):
    (folder / name).write_text("old")
    ran = run("finetune", "net.pte", "--runtime", runtime)
    assert (ran.code, ran.stderr.startswith(f"error: {name} exists already")) == (2, True)
    for arguments in (["--force"], ["--resume"], ["-o", "net.tuned.ptd"]):
        assert run("finetune", "net.pte", "--runtime", runtime, *arguments).code == 0


@pytest.mark.parametrize("extra", [[], ["--resume"], ["--force"]])
def test_no_output_destroys_another(run, calls, folder, extra):
    """The state of one run is the output of nobody else."""
    (folder / "q").mkdir()
    (folder / "q" / "t.pth").symlink_to("t.state.ptd")
    ran = run(
        "finetune", "net.pte", "-o", "q/t.ptd", "--to-pth", "q/../q/t.pth", *extra, "--runtime", "torch"
    )
    assert ran.code == 2
    assert "written twice" in ran.stderr
    assert not calls


@pytest.mark.parametrize("name", ["t.ptd", "t.history.json", "net.pte"])
def test_a_checkpoint_ends_in_pth(run, calls, name):
    ran = run("finetune", "net.pte", "-o", "t.ptd", "--to-pth", name, "--force")
    assert ran.code == 2
    assert f"'--to-pth': {name} does not end in .pth; name it" in ran.stderr
    assert not calls


@pytest.mark.parametrize("output", [".", "out/"])
def test_a_folder_is_no_output(run, calls, folder, output):
    (folder / "out").mkdir()
    ran = run("finetune", "net.pte", "-o", output)
    assert ran.code == 2
    assert "is a folder; name a file in it" in ran.stderr
    assert not calls


def test_a_checkpoint_is_replaced_beside_a_default(run, calls, folder):
    (folder / "tuned.pth").write_text("old")
    assert run("finetune", "net.pte", "--to-pth", "tuned.pth").code == 0


@pytest.mark.parametrize("name", ["t.json", "t.history.json", "t.state.ptd"])
def test_files_beside_the_output_are_never_inputs(run, calls, stand_in, name):
    """A tuned program has a manifest of its own; the others are written with any output."""
    stand_in(name, "file of weights")
    ran = run("finetune", "net.pte", "--weights", name, "-o", "t.pte", "--runtime", "native")
    assert ran.code == 2
    assert "is also read" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "net.ptd"],
        ["-o", "net.pte"],
        ["-o", "net.json"],
        ["--weights", "start.ptd", "-o", "linked.ptd"],
        ["--weights", "start.pth", "--to-pth", "start.pth"],
    ],
)
def test_inputs_are_never_overwritten(run, calls, folder, stand_in, arguments):
    stand_in("start.ptd", "file of weights")
    stand_in("start.pth", "file of weights")
    os.link(folder / "start.ptd", folder / "linked.ptd")
    ran = run("finetune", "net.pte", "--force", *arguments)
    assert ran.code == 2
    assert "is also read" in ran.stderr
    assert not calls


def test_a_missing_runner_is_told_where_nobody_chose(run, calls, monkeypatch):
    monkeypatch.setattr("edgetrain.cli.finetune.find_runner", lambda: None)
    monkeypatch.setattr("edgetrain.runner.find_compiler", lambda: None)
    ran = run("finetune", "net.pte")
    assert ran.code == 0
    assert "the native runner is not installed, so executorch trains; install a C++ compiler" in ran.stderr
    ran = run("finetune", "net.pte", "--runtime", "executorch", "--force")
    assert (ran.code, ran.stderr) == (0, "")
