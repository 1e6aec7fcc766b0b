"""Operators on which the code of a backend fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.convert.targets import delegation
from edgetrain.errors import CheckFailedError


def _written(folder: Path) -> Path:
    model = nn.Sequential(nn.Linear(8, 6), nn.PReLU(6), nn.Linear(6, 3)).eval()
    torch.jit.trace(model, torch.randn(1, 8)).save(str(folder / "net.pt"))
    return folder / "net.pt"


def test_an_operator_stays_portable(convert: Callable[..., Any], tmp_path: Path) -> None:
    """XNNPACK's passes take every PReLU for one of images."""
    report = convert(_written(tmp_path), input_shape=["8"], backend="xnnpack")
    assert report.comparison.relative_error < 1e-6
    assert [note for note in report.notes if note.startswith("prelu stays on portable kernels")]
    assert "on portable kernels: gt, where" in report.notes
    assert report.delegated is not None
    taken, operators = report.delegated
    assert 0 < taken < operators
    # The rest is XNNPACK's.
    assert b"XnnpackBackend" in (tmp_path / "out.pte").read_bytes()


def test_several_operators(
    convert: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> bytes:
        raise Exception("pass 7 failed")

    monkeypatch.setattr(delegation, "_lowered", failing)
    with pytest.raises(CheckFailedError, match=r"code fails on it \(pass 7 failed\); --backend port"):
        convert(_written(tmp_path), input_shape=["8"], backend="xnnpack")


def test_a_failure_that_was_told_as_a_sentence(
    convert: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a library raised is behind it; what edgetrain itself refuses has nothing behind it."""
    real = delegation._lowered

    def failing(program: Any, backend: Any, portable: tuple[str, ...], origin: str) -> Any:
        if not portable:
            raise CheckFailedError("it can't be lowered") from cause
        return real(program, backend, portable, origin)

    monkeypatch.setattr(delegation, "_lowered", failing)
    cause: Exception | None = AssertionError("only with keep_dim")
    report = convert(_written(tmp_path), input_shape=["8"], backend="xnnpack")
    assert [note for note in report.notes if note.startswith("prelu stays on portable kernels")]
    cause = None
    with pytest.raises(CheckFailedError, match=r"^it can't be lowered$"):
        convert(_written(tmp_path), input_shape=["8"], backend="xnnpack")
