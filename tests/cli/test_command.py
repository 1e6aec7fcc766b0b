"""What all subcommands share."""

from __future__ import annotations

import logging
import warnings

import pytest
import typer.main

from edgetrain.cli.app import app
from edgetrain.cli.quiet import quiet_libraries
from edgetrain.config.stages import COMMANDS

PARAMETERS = {name: command.made.params for name, command in typer.main.get_command(app).commands.items()}
EVERYWHERE = {"--json", "--quiet", "-q", "--verbose", "-v", "--debug"}
CONFIGURED = {"--config", "-c", "--set"}
WRITING = {"--force", "--output", "-o"}


@pytest.mark.parametrize("name", PARAMETERS)
def test_flags_never_clash(name):
    flags = [flag for param in PARAMETERS[name] for flag in (*param.opts, *param.secondary_opts)]
    assert len(flags) == len(set(flags))


@pytest.mark.parametrize("name", PARAMETERS)
def test_common_options(name):
    flags = {flag for param in PARAMETERS[name] for flag in param.opts}
    assert flags >= EVERYWHERE
    assert (flags >= CONFIGURED) == (name in COMMANDS)
    assert (flags >= CONFIGURED | WRITING) == (name in COMMANDS and name != "check")


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_option_explains_itself(name):
    assert all(param.help for param in PARAMETERS[name] if param.name != "help")


def test_precedence_from_the_command_line(run, folder, train_calls):
    (folder / "c.yaml").write_text(
        "train: {epochs: 2, batch_size: 8, seed: 3}\noptimizer: {lr: 1e-3}\nexport: {seed: 4}\n"
    )
    ran = run(
        "train", "-c", "c.yaml", "--set", "train.epochs=3", "--set", "train.batch_size=16", "--epochs", "4"
    )
    assert ran.code == 0, ran.stderr
    config = train_calls[0].config
    assert (config.train.epochs, config.train.batch_size, config.train.seed) == (4, 16, 3)
    assert config.optimizer.lr == 0.001


def test_flags_of_every_kind(run, folder, train_calls):
    arguments = "--channels 3 --no-augment --flip --shift invert --shift rotate:30 --lr 1e-2 --model mlp"
    ran = run("train", *arguments.split(), "--model-arg", "hidden=[8, 4]", "--model-arg", "dropout=1e-1")
    assert ran.code == 0, ran.stderr
    config = train_calls[0].config
    assert (config.data.channels, config.data.augment, config.data.flip) == (3, False, True)
    assert config.data.shift == ["invert", "rotate:30"]
    assert config.model.args == {"hidden": [8, 4], "dropout": 0.1}


def test_all_problems_come_together_and_name_their_source(run, folder, train_calls):
    (folder / "c.yaml").write_text("train: {epoch: 2}\n")
    ran = run("train", "-c", "c.yaml", "--set", "data.seed=x", "--lr", "fast", "--optimizer", "sdg")
    assert ran.code == 2
    assert set(ran.stderr.splitlines()) == {
        "error: the configuration has 4 problems:",
        "  train.epoch: unknown key; did you mean 'epochs'? [c.yaml]",
        "  data.seed: must be a whole number (got 'x') [--set]",
        "  optimizer.lr: must be a number (got 'fast') [--lr]",
        "  optimizer.name: must be one of sgd, adam, adamw (got 'sdg'); did you mean 'sgd'? [--optimizer]",
    }
    assert not train_calls


def test_inputs_of_the_configuration_are_protected(run, folder, train_calls):
    (folder / "c.pth").write_text("train: {epochs: 2}\n")
    for inputs in (["-c", "c.pth"], ["--data", "arrays", "--data-dir", "c.pth"]):
        ran = run("train", *inputs, "-o", "c.pth")
        assert (ran.code, ran.stderr) == (2, "error: c.pth is also read; name another output with -o\n")


def test_libraries_are_silenced_unless_debugging():
    with warnings.catch_warnings():
        logging.getLogger("torchao").setLevel(logging.NOTSET)
        before = list(warnings.filters)
        quiet_libraries(debug=True)
        assert warnings.filters == before
        assert logging.getLogger("torchao").level == logging.NOTSET
        quiet_libraries()
        assert logging.getLogger("torchao").level == logging.ERROR
        assert logging.getLogger("torch.utils._pytree").level == logging.ERROR
        with warnings.catch_warnings(record=True) as caught:
            quiet_libraries()
            warnings.warn("loud", UserWarning, stacklevel=1)
        assert not caught


def test_without_a_terminal_stderr_stays_empty(run, folder, fake_stage, train_calls, monkeypatch):
    from edgetrain import training

    plain_train = training.train

    def talkative(*arguments, reporter, **options):
        reporter.info("starting")
        with reporter.progress("epoch", total=2) as bar:
            bar.advance(loss=0.1)
        return plain_train(*arguments, reporter=reporter, **options)

    monkeypatch.setattr(training, "train", talkative)
    assert run("train").stderr == ""
    assert run("train", "--force", "-v").stderr == "starting\n"


@pytest.mark.parametrize(("rank", "talks"), [("0", True), ("1", False)])
def test_of_torchruns_processes_only_the_first_talks(run, folder, train_calls, monkeypatch, rank, talks):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    ran = run("train", "--json", "-v")
    assert (ran.code, bool(ran.stdout)) == (0, talks)
    assert len(train_calls) == 1
