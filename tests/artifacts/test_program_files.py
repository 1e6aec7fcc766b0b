"""Which files make up a program that is trained."""

from __future__ import annotations

from pathlib import Path

from edgetrain.artifacts.program_files import program_files
from edgetrain.config.stages import ExportConfig


def test_names_keep_their_dots() -> None:
    found = program_files(Path("out/net.v2"), ExportConfig())
    assert found == {
        Path("out/net.v2.pte"): "program",
        Path("out/net.v2.json"): "manifest",
        Path("out/net.v2.ptd"): "file of weights",
    }


def test_weights_inside_and_a_budget() -> None:
    found = program_files(Path("net"), ExportConfig(weights="inline", update="budget:1MB"))
    assert found == {
        Path("net.pte"): "program",
        Path("net.json"): "manifest",
        Path("net.update.yaml"): "file of update rules",
    }
