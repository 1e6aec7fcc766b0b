"""Who gets to read what: stdout for results, stderr for people who watch."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetrain.cli import console
from edgetrain.cli.console import Output, TerminalReporter, plain
from edgetrain.cli.tables import Table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch):
    stream = Terminal()
    # Not sys.stderr itself: pytest puts its own back between a fixture and its test.
    monkeypatch.setattr(console, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    return stream


def say_everything(reporter):
    reporter.info("an info")
    reporter.epoch("epoch 1/3: loss 0.5")
    reporter.detail("a detail")
    reporter.warn("a danger")
    with reporter.progress("working", total=3) as outer:
        outer.advance(loss=0.5, phase="warm")
        with reporter.progress("inside") as inner:
            inner.advance()


def test_without_a_terminal_epochs_and_warnings_remain(capsys):
    say_everything(TerminalReporter())
    assert capsys.readouterr() == ("", "epoch 1/3: loss 0.5\nwarning: a danger\n")
    say_everything(TerminalReporter(quiet=True))
    assert capsys.readouterr() == ("", "")


def test_verbose_without_a_terminal_tells_but_draws_no_bars(capsys):
    say_everything(TerminalReporter(verbose=True))
    assert capsys.readouterr() == ("", "an info\nepoch 1/3: loss 0.5\na detail\nwarning: a danger\n")


def test_forced_colour_does_not_make_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    TerminalReporter().info("an info")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_info_and_bars(terminal):
    say_everything(TerminalReporter())
    text = terminal.getvalue()
    assert "an info" in text
    assert "a detail" not in text
    assert "working" in text
    assert "inside" in text
    assert "loss=0.5 phase=warm" in text


def test_quiet_silences_a_terminal(terminal):
    say_everything(TerminalReporter(quiet=True))
    assert terminal.getvalue() == ""


def test_no_color(terminal, monkeypatch):
    TerminalReporter().warn("first")
    assert "\x1b[33m" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.truncate(0)
    TerminalReporter().warn("second")
    assert "\x1b[33m" not in terminal.getvalue()
    assert "warning: second" in terminal.getvalue()


def test_bars_end_with_an_exception(terminal):
    reporter = TerminalReporter()
    with pytest.raises(ValueError), reporter.progress("working"):
        raise ValueError
    with reporter.progress("again") as bar:
        bar.advance()


def test_messages_are_not_markup_and_hold_no_control_characters(capsys):
    TerminalReporter().warn("[red]conv[0].weight[/red] \x1b[2J")
    assert capsys.readouterr().err == "warning: [red]conv[0].weight[/red] \\x1b[2J\n"


def test_json_is_one_document_with_a_version(capsys):
    table = Table("title", [("a", 1)])
    Output(as_json=True).result(
        table, {"path": Path("a/b"), "loss": float("nan"), "list": (1, 2.5, None, True)}
    )
    out = capsys.readouterr().out
    expected = {"schema_version": 1, "path": "a/b", "loss": None, "list": [1, 2.5, None, True]}
    assert json.loads(out) == expected
    assert next(iter(json.loads(out))) == "schema_version"


def test_the_version_of_the_document_is_ours(capsys):
    Output(as_json=True).result(Table("title", []), {"schema_version": 7})
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1}


def test_table(capsys):
    long = "x" * 120
    rows = [("[bold]name", 0.123456), (long, None), ("yes", True), ("list", [1, "\x1b"])]
    Output().result(Table("a [title]", rows, ("key", "value")), {})
    out = capsys.readouterr().out
    for text in ("a [title]", "key", "[bold]name", "0.1235", long, "–", "yes", "1, \\x1b"):
        assert text in out


def test_empty_table(capsys):
    Output().result(Table("nothing", []), {})
    assert "nothing" in capsys.readouterr().out


def test_plain_knows_models_and_strangers(history):
    assert plain(history)["epochs"][0]["val_loss"] == 2.0
    assert plain({1: {2}, "x": slice(1)}) == {"1": [2], "x": "slice(None, 1, None)"}
