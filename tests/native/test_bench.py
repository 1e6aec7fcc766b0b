"""`bench`: timed steps that other runtimes can take turns with, and what they compute."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.runtimes import open_session
from edgetrain.runtimes.stepping import make_stepper

Runner = Callable[..., Any]
BATCH, BATCHES = 4, 5


@dataclass(frozen=True)
class Work:
    """A program and batches for it."""

    program: Path
    batches: Path

    @property
    def command(self) -> list[Any]:
        return ["bench", self.program, "--data", self.batches, "--batch-size", BATCH]

    def tensors(self) -> list[tuple[Tensor, Tensor]]:
        found = read_tensors(self.batches).tensors()
        return list(zip(found["inputs"].split(BATCH), found["targets"].split(BATCH), strict=True))


def pack(path: Path, shape: list[int]) -> Path:
    count = BATCH * BATCHES
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, *shape, generator=generator)
    write_tensors(path, {"inputs": inputs, "targets": torch.randint(0, 10, (count,), generator=generator)})
    return path


@pytest.fixture(scope="module")
def work(digits_program: Any, tmp_path_factory: pytest.TempPathFactory) -> Work:
    folder = tmp_path_factory.mktemp("bench")
    return Work(digits_program.program, pack(folder / "batches.ptd", [1, 8, 8]))


@pytest.fixture(scope="module")
def cifar_work(cifar_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    return Work(cifar_program, pack(tmp_path_factory.mktemp("cifar") / "batches.ptd", [3, 32, 32]))


@pytest.mark.slow
def test_cifar_cnn_is_eager_pytorchs(cifar_work: Work, run: Runner, tmp_path: Path) -> None:
    session = open_session("torch", load_program(cifar_work.program), dropout=False)
    stepper = make_stepper(session, OptimizerConfig(lr=0.001))
    expected, first = [], {}
    for step in range(20):
        inputs, targets = cifar_work.tensors()[step % BATCHES]
        (outcome,) = stepper.step([({INPUTS: inputs}, {TARGETS: targets})], 0.001)
        first = first or {name: gradient.clone() for name, gradient in stepper.gradients.items()}
        expected.append(outcome.loss)

    out = tmp_path / "gradients.ptd"
    done = run(*cifar_work.command, "--lr", 0.001, "--gradients", out, input="1\n7\n12\n")
    assert done.code == 0
    assert [len(line["losses"]) for line in done.events("steps")] == [1, 7, 12]
    losses = [loss for line in done.events("steps") for loss in line["losses"]]
    assert losses == pytest.approx(expected, rel=1e-4)
    written = read_tensors(out)
    assert written.digest_offset is not None
    assert list(written.entries) == list(first)
    for name, gradient in first.items():
        found = written.tensor(name)
        assert found.shape == gradient.shape
        assert (found - gradient).norm() <= 1e-4 * gradient.norm(), name


TORCH_JOB = """
import sys
from pathlib import Path
import torch
from edgetrain.artifacts.tensors import read_tensors
from edgetrain.models.cifar_cnn import CifarCNN

model, data = CifarCNN(), read_tensors(Path(sys.argv[1])).tensors()
optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
for step in range(20):
    rows = slice(4 * (step % 5), 4 * (step % 5) + 4)
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(data["inputs"][rows]), data["targets"][rows]).backward()
    optimizer.step()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_cifar_cnn_needs_an_eighth_of_pytorchs_memory(
    cifar_work: Work, run: Runner, is_sanitized: bool
) -> None:
    if is_sanitized:
        pytest.skip("sanitizers take memory of their own")
    job = [sys.executable, "-c", TORCH_JOB, str(cifar_work.batches)]
    torch_peak = 1024 * int(subprocess.run(job, capture_output=True, text=True, check=True).stdout)
    done = run(*cifar_work.command, "--lr", 0.001, input="20\n")
    assert done.events("steps")[0]["peak_rss_bytes"] <= torch_peak / 8


def test_gradients_are_a_file_of_executorchs(work: Work, run: Runner, tmp_path: Path) -> None:
    """What its own reader makes of it."""
    from executorch.exir._serialize._cord import Cord
    from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

    out = tmp_path / "gradients.ptd"
    assert run(*work.command, "--gradients", out, input="1\n").code == 0
    payload = FlatTensorSerializer().deserialize(Cord(out.read_bytes()))
    for name, tensor in read_tensors(out).tensors().items():
        entry = payload.named_data[name]
        assert list(entry.tensor_layout.sizes) == list(tensor.shape)
        assert payload.buffers[entry.buffer_index] == tensor.numpy().tobytes()


def test_lines(work: Work, run: Runner) -> None:
    done = run(*work.command, "--threads", 2, input="3\n0\n2")
    ready, *steps = done.lines
    assert ready["event"] == "ready"
    assert ready["threads"] == 2
    assert ready["load_ms"] > 0
    assert [len(line["seconds"]) for line in steps] == [3, 0, 2]
    assert all(second > 0 for line in steps for second in line["seconds"])
    assert ready["rss_bytes"] < steps[0]["peak_rss_bytes"] <= steps[-1]["peak_rss_bytes"]
    assert run(*work.command, input="").lines[0]["event"] == "ready"
    for wrong in ("x\n", "1 2\n", "-1\n", "\n", "1e3\n", "99999999999\n"):
        stopped = run(*work.command, input="1\n" + wrong)
        assert (stopped.code, len(stopped.events("steps"))) == (2, 1)
        assert "a line of stdin" in stopped.error


def test_losses_that_are_not_finite_are_null(work: Work, run: Runner) -> None:
    (steps,) = run(*work.command, "--lr", 1e20, input="4\n").events("steps")
    assert steps["losses"][0] is not None
    assert steps["losses"][-1] is None


def test_what_bench_refuses(
    work: Work, packed: Any, digits_program: Any, run: Runner, tmp_path: Path
) -> None:
    assert run(*work.command[:-2], input="").code == 2
    assert run(*work.command[:-1], 3, input="").code == 2
    assert run(*work.command, "--scale", 2, input="").code == 2
    assert run(*work.command, "--gradients", work.batches, input="").code == 2
    raw = run("bench", digits_program.program, "--data", packed.train, "--batch-size", 4, input="")
    assert (raw.code, "preprocessed already" in raw.error) == (3, True)


def test_a_signal_ends_the_wait(work: Work, runner: Path) -> None:
    process = subprocess.Popen(
        [str(word) for word in (runner, *work.command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["event"] == "ready"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    process.communicate()
