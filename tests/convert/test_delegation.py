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
        raise Exception("pass 7 failed\n\nWhile executing %convolution")

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


class Twice(nn.Module):
    """A convolution that is called twice, before norms of its own each time, as heads of detectors do."""

    def __init__(self, dimensions: int, norms: int) -> None:
        super().__init__()
        kinds: dict[int, Any] = {1: (nn.Conv1d, nn.BatchNorm1d), 2: (nn.Conv2d, nn.BatchNorm2d)}
        convolution, norm = kinds[dimensions]
        self.conv = convolution(2, 4, 3)
        self.norms = nn.ModuleList(norm(4) for _ in range(norms))
        for layer in self.norms:
            layer.running_mean.uniform_()
            layer.running_var.uniform_(0.5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *more = [*self.norms] or [nn.Identity()]
        once = first(self.conv(x))
        again = (more[0] if more else first)(self.conv(x.flip(2)))
        return once.relu() - again.relu()


@pytest.mark.parametrize("dimensions", [1, 2])
@pytest.mark.parametrize("norms", [0, 1, 2])
def test_layers_that_share_weights(
    convert: Callable[..., Any], tmp_path: Path, dimensions: int, norms: int
) -> None:
    torch.manual_seed(0)
    torch.save(Twice(dimensions, norms).eval(), tmp_path / "net.pt")
    shape = ",".join(["2", "8", "8"][: dimensions + 1])
    report = convert(tmp_path / "net.pt", trust_pickle=True, input_shape=[shape], backend="xnnpack")
    assert report.comparison.relative_error < 1e-6
    assert not [note for note in report.notes if "convolution" in note]
