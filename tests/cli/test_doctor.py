"""`edgetrain doctor` and how it looks at the machine."""

from __future__ import annotations

import importlib.metadata
import json

import pytest

from edgetrain.cli import environment
from edgetrain.cli.environment import Finding, examine, pins, probe
from edgetrain.errors import EdgetrainError


@pytest.fixture
def probes(monkeypatch):
    """Answers of the child processes, by a word of their code."""
    answers = {
        "torch.ones": {"sum": 3.0, "cuda": False, "gpu": None},
        "import_torchvision": {"compiled": False},
        "operator_registry": {"operators": 240},
        "training": {},
        "register_kernels": {},
    }
    monkeypatch.setattr(
        environment, "probe", lambda code: next(answer for word, answer in answers.items() if word in code)
    )
    return answers


def states(findings):
    return {finding.name: finding.state for finding in findings}


def test_a_working_machine(run, probes):
    ran = run("doctor")
    assert ran.code == 0, ran.stdout
    for text in (
        "work here",
        "executorch runtime",
        "240 operators",
        "without compiled operators",
        "processors",
    ):
        assert text in ran.stdout


def test_a_crashing_binding(run, probes):
    probes["operator_registry"] = "the import crashed (signal 11)"
    ran = run("doctor", "--json")
    document = json.loads(ran.stdout)
    assert (ran.code, document["works"]) == (1, False)
    broken = next(finding for finding in document["findings"] if finding["state"] == "missing")
    assert broken["name"] == "executorch runtime"
    assert "pip install" in broken["advice"]


def test_cuda(probes):
    assert states(examine())["CUDA"] == "optional"
    probes["torch.ones"] = {"sum": 3.0, "cuda": True, "gpu": "a GPU"}
    assert states(examine())["CUDA"] == "ok"
    probes["torch.ones"] = "libtorch.so: cannot open"
    assert states(examine())["torch import"] == "missing"


def test_versions_beside_the_pins(probes, monkeypatch):
    versions = {"torch": "2.12.1", "torchvision": "0.28.0"}

    def version(package):
        if package not in versions:
            raise importlib.metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(
        environment, "pins", lambda: {"torch": "2.13", "torchvision": "0.28", "executorch": "1.5"}
    )
    found = {finding.name: finding for finding in examine()}
    assert found["torch"] == Finding(
        "torch", "missing", "2.12.1; made for 2.13", 'pip install "torch==2.13.*"'
    )
    assert found["torchvision"].state == "ok"
    assert found["executorch"].advice == 'pip install "executorch==1.5.*"'


def test_tools_are_optional(probes, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("edgetrain.cli.environment.require_runner", refuse_runner)
    found = {finding.name: finding for finding in examine()}
    assert (found["C++ compiler"].state, found["native runner"].state) == ("optional", "optional")
    assert found["native runner"].advice == "install a compiler"


def refuse_runner():
    raise EdgetrainError("install a compiler")


def test_a_runner_that_does_not_start(probes, monkeypatch, tmp_path):
    fake = tmp_path / "runner"
    fake.write_text("#!/bin/sh\necho libexecutorch.so: cannot open >&2\nexit 127\n")
    fake.chmod(0o755)
    monkeypatch.setenv("EDGETRAIN_RUNNER", str(fake))
    found = {finding.name: finding for finding in examine()}["native runner"]
    assert found.state == "missing"
    assert "cannot open" in found.detail


def test_kernels(probes, monkeypatch, tmp_path):
    def found():
        return {finding.name: finding for finding in examine()}["fast kernels"]

    monkeypatch.setattr("edgetrain.cli.environment.find_kernels", lambda: None)
    assert found().state == "optional"
    monkeypatch.setattr("edgetrain.cli.environment.find_kernels", lambda: tmp_path / "kernels.so")
    assert found() == Finding("fast kernels", "ok", str(tmp_path / "kernels.so"))
    probes["register_kernels"] = "cannot open"
    assert (found().state, found().detail) == ("missing", "cannot open")


def test_pins_come_from_the_package():
    assert set(pins()) >= {"torch", "torchvision", "executorch"}


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("print('noise'); print(json.dumps({'a': 1}))", {"a": 1}),
        ("import os; os.abort()", "the import crashed (signal 6)"),
        ("raise ImportError('no such library')", "ImportError: no such library"),
        ("print(json.dumps({})); raise SystemExit(3)", "exit code 3"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_probe(code, answer):
    assert probe(code) == answer


def test_probe_that_hangs():
    assert probe("import time; time.sleep(30)", timeout_s=0.2) == "no answer within 0.2 seconds"
