"""Finding the native runner, and the command that becomes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgetrain import runner
from edgetrain.errors import EdgetrainError


def _program(path: Path, text: str = '#!/bin/sh\necho "$0 $*"\nexit 3\n') -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_it_lies_in_the_installed_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Installed:
        def locate_file(self, name: str) -> Path:
            return tmp_path / name

        def read_text(self, name: str) -> None:
            return None

    monkeypatch.delenv(runner.OVERRIDE, raising=False)
    monkeypatch.setattr(runner, "find_compiler", lambda: None)
    monkeypatch.setattr(runner.importlib.metadata, "distribution", lambda name: Installed())
    assert runner.find_runner() is None
    with pytest.raises(EdgetrainError, match="install a C\\+\\+ compiler"):
        runner.require_runner()
    path = _program(tmp_path / "edgetrain" / "bin" / "edgetrain-runner")
    assert runner.require_runner() == path


def test_another_build_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _program(tmp_path / "mine")
    monkeypatch.setenv(runner.OVERRIDE, str(path))
    assert runner.find_runner() == path
    monkeypatch.setenv(runner.OVERRIDE, str(tmp_path / "nothing"))
    with pytest.raises(EdgetrainError, match="no program that can be run"):
        runner.find_runner()


def test_the_command_becomes_the_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(runner.OVERRIDE, str(_program(tmp_path / "mine")))
    command = [sys.executable, "-c", "from edgetrain.runner import main; main()", "info", "a b"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stdout.endswith("info a b\n")
    monkeypatch.setenv(runner.OVERRIDE, str(tmp_path / "nothing"))
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("edgetrain-runner: ")


def test_the_runtimes_libraries_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    first, last = runner.runner_environment()["LD_LIBRARY_PATH"].split(":")
    assert (Path(first) / "libexecutorch.so").is_file()
    assert last == "/elsewhere"


@pytest.mark.parametrize(
    ("record", "source"),
    [
        (None, "edgetrain"),
        ('{"url": "https://a.b/edgetrain.whl", "archive_info": {}}', "edgetrain"),
        ('{"url": "file:///home/me/edge%20train", "dir_info": {}}', "'/home/me/edge train'"),
        ('{"url": "file:///src/edgetrain", "dir_info": {"editable": true}}', "--editable /src/edgetrain"),
    ],
    ids=["index", "address", "folder", "editable"],
)
def test_the_advice_names_where_it_came_from(
    record: str | None, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            assert name == "direct_url.json"
            return record

    monkeypatch.setattr(runner.importlib.metadata, "distribution", lambda name: Installed())
    monkeypatch.setattr(runner, "find_compiler", lambda: None)
    assert runner.how_to_build().endswith(f"'pip install --verbose --force-reinstall --no-deps {source}'")


def test_who_has_a_compiler_is_not_told_to_install_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert runner.find_compiler() is None
    assert runner.how_to_build().startswith("install a C++ compiler")
    found = _program(tmp_path / "g++")
    assert runner.find_compiler() == str(found)
    assert runner.how_to_build().startswith("run 'pip install --verbose ")
    monkeypatch.setenv("CXX", str(_program(tmp_path / "mine")))
    assert runner.find_compiler() == str(tmp_path / "mine")
