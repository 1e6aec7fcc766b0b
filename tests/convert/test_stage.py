"""Many files, in the process that reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgetrain.config.stages import ConvertCommand
from edgetrain.convert import convert
from edgetrain.errors import InputError
from edgetrain.reporting import Progress, Reporter

GetFile = Callable[[str, str], Path]


def _config(**settings: Any) -> ConvertCommand:
    return ConvertCommand.model_validate({"convert": settings})


class Endless(nn.Module):
    """Never returns."""

    def forward(self, x: Tensor) -> Tensor:
        while bool(x.sum() < 1e30):
            x = x * 0.5
        return x


class Greedy(nn.Module):
    """Wants eight gigabytes."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.ones([8, 256, 1024, 1024]).sum()


def test_what_goes_wrong_costs_one_file(model_file: GetFile, tmp_path: Path, listener: Any) -> None:
    torch.jit.script(Greedy()).save(str(tmp_path / "greedy.pt"))
    (tmp_path / "damaged.pt").write_bytes(model_file("traced", "Images").read_bytes()[:-100])
    pairs = [
        (tmp_path / "damaged.pt", tmp_path / "out" / "damaged"),
        (tmp_path / "greedy.pt", tmp_path / "out" / "greedy"),
        (model_file("traced", "Images"), tmp_path / "out" / "good"),
    ]
    result = convert(_config(input_shape=["3,12,12"], memory_limit=4), pairs, reporter=listener())
    assert [report.outputs for report in result.reports] == [[tmp_path / "out" / "good.pte"]]
    messages = [str(failure.error) for failure in result.failures]
    assert "damaged.pt is cut short or damaged" in messages[0]
    assert "needs more than 4 GiB of memory; raise --memory-limit" in messages[1]
    assert all(isinstance(failure.error, InputError) for failure in result.failures)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.pte"]


def test_files_that_take_forever(tmp_path: Path) -> None:
    torch.jit.script(Endless()).save(str(tmp_path / "endless.pt"))
    config = _config(input_shape=["3"], time_limit=2)
    result = convert(config, [(tmp_path / "endless.pt", tmp_path / "endless")])
    (failure,) = result.failures
    assert isinstance(failure.error, InputError)
    assert "took more than 2 s and was given up; raise --time-limit" in str(failure.error)
    assert [path.name for path in tmp_path.iterdir()] == ["endless.pt"]


class Steps(Progress):
    def __init__(self) -> None:
        self.told: list[str] = []

    def advance(self, steps: int = 1, **fields: Any) -> None:
        if fields.get("now") not in (self.told or [None])[-1:]:
            self.told.append(fields["now"])


class Watching(Reporter):
    def __init__(self) -> None:
        self.bar = Steps()

    @contextmanager
    def progress(self, description: str, total: Any = None) -> Iterator[Progress]:
        yield self.bar


def test_steps_are_told(model_file: GetFile, tmp_path: Path) -> None:
    path, reporter = model_file("traced", "Images"), Watching()
    settings = {"input_shape": ["3,12,12"], "backend": "xnnpack", "precision": "int8"}
    assert not convert(_config(**settings), [(path, tmp_path / "out")], reporter=reporter).failures
    steps = [
        f"{path.name}: {step}" for step in ("reading", "capturing", "quantizing", "lowering", "comparing")
    ]
    assert reporter.bar.told == [path.name, *steps, path.name]
