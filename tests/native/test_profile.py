"""--profile: which operators ran, whose kernels they were, and how long they took."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Runner = Callable[..., Any]


@dataclass(frozen=True)
class Line:
    """One operator of the table."""

    operator: str
    kernel: str
    calls: int
    total_ms: float
    mean_ms: float
    share: float


def table(said: list[str]) -> list[Line]:
    pattern = r"(\S+) +(edgetrain|executorch) +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) %"
    found = [match.groups() for match in (re.fullmatch(pattern, line) for line in said) if match]
    return [Line(name, kernel, int(calls), *map(float, rest)) for name, kernel, calls, *rest in found]


def heading(said: list[str]) -> tuple[int, int, int]:
    """Batches, operator calls, calls of our kernels."""
    pattern = r"profile of (\d+) batches: (\d+) operator calls in [\d.]+ ms, (\d+) of them .*"
    (match,) = [match for match in (re.fullmatch(pattern, line) for line in said) if match]
    batches, calls, ours = (int(number) for number in match.groups())
    return batches, calls, ours


def test_inspector_reads_the_file(noisy_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    from executorch.devtools import Inspector

    dump = tmp_path / "train.etdp"
    done = run(
        "train", noisy_program.program, "--data", packed.train, "-o", tmp_path / "out.ptd",
        "--batch-size", 8, "--max-steps", 9, "--profile", dump, "--profile-batches", 7,
    )  # fmt: skip
    assert done.code == 0
    lines = {(line.operator, line.kernel): line for line in table(done.said)}
    batches, _, ours = heading(done.said)
    assert batches == 7
    assert lines["native_dropout.out", "edgetrain"].calls == 2 * 7
    assert ours >= sum(line.calls for (_, kernel), line in lines.items() if kernel == "edgetrain")
    (block,) = Inspector(etdump_path=str(dump)).event_blocks
    events = [event for event in block.events if event.name != "OPERATOR_CALL"]
    assert all(len(event.perf_data.raw) == 7 for event in events)
    for (name, kernel), line in lines.items():
        if name == "(unnamed)":
            continue
        prefix = {"edgetrain": "edgetrain", "executorch": "native"}[kernel]
        calls = [event for event in events if event.name == f"{prefix}_call_{name}"]
        assert 7 * len(calls) == line.calls


def test_the_table(digits_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    dump = tmp_path / "evaluate.etdp"
    done = run(
        "evaluate", digits_program.program, "--data", packed.test, "--batch-size", 4, "--profile", dump
    )
    lines = table(done.said)
    assert heading(done.said)[0] == 20  # of 25
    assert 0 < len(lines) <= 20
    assert [line.total_ms for line in lines] == sorted((line.total_ms for line in lines), reverse=True)
    for line in lines:
        assert line.mean_ms == pytest.approx(line.total_ms / line.calls, abs=1e-3)
    rest = [line for line in done.said if " more)" in line]
    assert sum(line.share for line in lines) == pytest.approx(100, abs=2 if rest else 1.1)
    assert dump.stat().st_size > 0


@pytest.mark.parametrize("command", ["predict", "bench"])
def test_other_commands(command: str, inline_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    import torch

    from edgetrain.artifacts.tensors import write_tensors

    data, dump = tmp_path / "batches.ptd", tmp_path / "profile.etdp"
    write_tensors(data, {"inputs": torch.randn(8, 1, 8, 8), "targets": torch.arange(8)})
    done = run(
        command, inline_program.program, "--data", data, "--batch-size", 2, "--profile", dump, input="3\n"
    )
    assert done.code == 0
    assert heading(done.said)[0] == (4 if command == "predict" else 3)
    assert dump.stat().st_size > 0


def test_validation_is_no_part_of_a_training_profile(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    flags = ["--validation", packed.test, "-o", tmp_path / "out.ptd", "--max-steps", 3]
    profile = ["--profile", tmp_path / "train.etdp"]
    done = run("train", digits_program.program, "--data", packed.train, *flags, *profile)
    assert heading(done.said)[0] == 3
    assert {line.calls % 3 for line in table(done.said)} == {0}
    plain = run("train", digits_program.program, "--data", packed.train, *flags)
    assert done.events("result")[0]["val_loss"] == plain.events("result")[0]["val_loss"]


def test_outputs_that_make_no_sense(digits_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    common = ["evaluate", digits_program.program, "--data", packed.test, "--profile"]
    assert run(*common, packed.test).code == 2
    assert run(*common, digits_program.program).code == 2
    assert run(*common, tmp_path).code == 2
    assert run(*common, tmp_path / "no" / "folder.etdp").code == 1
    out = tmp_path / "out.ptd"
    train = ["train", digits_program.program, "--data", packed.train, "-o", out, "--profile"]
    assert run(*train, out).code == run(*train, out.with_suffix(".state.ptd")).code == 2
    assert list(tmp_path.iterdir()) == []
