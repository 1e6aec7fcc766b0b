"""Long runs of the runner: what it needs doesn't grow with the steps."""

from __future__ import annotations

import contextlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

STEPS = 20_000
# So many epochs have passed by then that everything has been allocated that ever is.
WARM = STEPS // 10
PROMISE = "Memory and open files of a long run stay where they are"


@pytest.mark.thorough
@pytest.mark.promise(PROMISE, cases=STEPS)
def test_twenty_thousand_steps(
    digits_program: Any, packed: Any, runner: Path, is_sanitized: bool, tmp_path: Path
) -> None:
    if is_sanitized:
        pytest.skip("sanitizers keep what is freed")
    arguments = [digits_program.program, "--data", packed.train, "--validation", packed.test]
    settings = [
        "-o",
        tmp_path / "tuned.ptd",
        "--max-steps",
        STEPS,
        "--epochs",
        STEPS,
        "--batch-size",
        8,
        "--threads",
        2,
    ]
    command = [runner, "train", *arguments, *settings, "--lr", "0.001"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    seen: list[tuple[int, int, int]] = []
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "epoch" and event["epoch"] % 50 == 0:
            with contextlib.suppress(OSError, StopIteration):  # it has ended
                seen.append((event["steps"], *_held(process.pid)))
    assert process.wait() == 0
    warm = [(memory, files) for step, memory, files in seen if step >= WARM]
    assert len(warm) > 10
    memory, files = zip(*warm, strict=True)
    assert max(memory) - memory[0] <= 1e6
    # One that is just being saved is open for a moment; one that is forgotten stays open from then on.
    assert min(files[len(files) // 2 :]) == min(files[: len(files) // 2])


def _held(process: int) -> tuple[int, int]:
    """Resident memory that no file backs [bytes], and open files."""
    status = Path(f"/proc/{process}/status").read_text()
    anonymous = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
    return anonymous * 1024, len(list(Path(f"/proc/{process}/fd").iterdir()))
