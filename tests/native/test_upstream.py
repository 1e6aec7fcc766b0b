"""Programs that ExecuTorch's own training examples export, trained on CIFAR-10's binary format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

Runner = Callable[..., Any]
BATCH, SAMPLES = 4, 22


class Net(nn.Module):
    """Max-pool with overlapping windows: several outputs share their largest input."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.pool = nn.MaxPool2d(3, stride=2)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(4 * 7 * 7, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.pool(self.conv(x).relu()).flatten(1)))


class Counting(Net):
    """Changes a buffer with every call."""

    def __init__(self, dropout: float) -> None:
        super().__init__(dropout)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return super().forward(x)


class WithLoss(nn.Module):
    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        self.loss = nn.CrossEntropyLoss()

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.net(x)
        return self.loss(logits, y), logits.detach().argmax(dim=1)


@dataclass
class Exported:
    net: Net
    program: Path
    weights: list[Any]  # flags that name the .ptd, where there is one


def export(folder: Path, dropout: float, external: bool, model: type[Net] = Net) -> Exported:
    from executorch.exir import EdgeCompileConfig, ExecutorchBackendConfig, to_edge
    from torch.export.experimental import _export_forward_backward

    torch.manual_seed(0)
    net = model(dropout)
    example = (torch.randn(BATCH, 3, 32, 32), torch.ones(BATCH, dtype=torch.int64))
    joint = _export_forward_backward(torch.export.export(WithLoss(net), example, strict=True))
    edge = to_edge(joint, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    made = edge.to_executorch(ExecutorchBackendConfig(external_mutable_weights=external))
    (folder / "net.pte").write_bytes(made.buffer)
    if not external:
        return Exported(net, folder / "net.pte", [])
    made.write_tensor_data_to_file(str(folder))
    (data,) = folder.glob("*.ptd")
    return Exported(net, folder / "net.pte", ["-w", data])


@pytest.fixture(scope="module", params=[False, True], ids=["inline", "external"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(tmp_path_factory.mktemp("upstream"), 0.0, request.param)


@pytest.fixture(scope="session")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(tmp_path_factory.mktemp("dropping"), 0.5, False)


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two files of CIFAR-10 records."""
    generator = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("cifar")
    paths = []
    for name, count in (("one.bin", SAMPLES - 5), ("two.bin", 5)):
        records = generator.integers(0, 256, (count, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        (folder / name).write_bytes(records.tobytes())
        paths.append(folder / name)
    return paths


def read(paths: list[Path]) -> tuple[Tensor, Tensor]:
    content = bytearray(b"".join(path.read_bytes() for path in paths))
    records = torch.frombuffer(content, dtype=torch.uint8).reshape(-1, 3073)
    pixels = records[:, 1:].reshape(-1, 3, 32, 32).float() * (1 / 255)
    return (pixels - 0.5) / 0.25, records[:, 0].long()


def data_flags(paths: list[Path]) -> list[Any]:
    named = [flag for path in paths for flag in ("--data", path)]
    return [*named, "--scale", 1 / 255, "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"]


def evaluation(net: Net, inputs: Tensor, targets: Tensor) -> float:
    net.eval()
    whole = len(inputs) // BATCH * BATCH
    with torch.no_grad():
        return float(nn.functional.cross_entropy(net(inputs[:whole]), targets[:whole]))


def test_training_is_eager_pytorchs(plain: Exported, cifar: list[Path], run: Runner, tmp_path: Path) -> None:
    inputs, targets = read(cifar)
    net = Net(0.0)
    net.load_state_dict(plain.net.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    expected = []
    for start in range(0, SAMPLES - BATCH + 1, BATCH):
        rows = slice(start, start + BATCH)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs[rows]), targets[rows])
        loss.backward()
        optimizer.step()
        expected.append(float(loss))
    out = tmp_path / ("tuned.ptd" if plain.weights else "tuned.pte")
    done = run(
        "train", plain.program, *plain.weights, *data_flags(cifar), "-o", out, "--lr", 0.02, "--epochs", 1,
        "--no-shuffle", "--log-steps",
    )  # fmt: skip
    assert done.code == 0, done.error
    assert done.losses == pytest.approx(expected, rel=1e-4)
    tuned = [plain.program, "-w", out] if plain.weights else [out]
    (result,) = run("evaluate", *tuned, *data_flags(cifar)).events("result")
    assert result["samples"] == SAMPLES // BATCH * BATCH
    assert result["loss"] == pytest.approx(evaluation(net, inputs, targets), rel=1e-4)


def test_evaluation_has_no_dropout(dropping: Exported, cifar: list[Path], run: Runner) -> None:
    (result,) = run("evaluate", dropping.program, *data_flags(cifar)).events("result")
    assert result["loss"] == pytest.approx(evaluation(dropping.net, *read(cifar)), rel=1e-5)
    predictions = run("predict", dropping.program, *data_flags(cifar)).events("prediction")
    with torch.no_grad():
        expected = dropping.net(read(cifar)[0]).argmax(1)[: len(predictions)]
    assert [p["outputs"] for p in predictions] == [[int(c)] for c in expected]


def test_dropout_can_be_repeated(dropping: Exported, cifar: list[Path], run: Runner, tmp_path: Path) -> None:
    def losses(seed: int) -> list[float]:
        flags = ["-o", tmp_path / "out.pte", "--epochs", 2, "--no-shuffle", "--log-steps", "--seed", seed]
        return run("train", dropping.program, *data_flags(cifar), *flags).losses

    first = losses(0)
    assert losses(0) == first
    assert losses(1) != first


@pytest.mark.parametrize("external", [False, True])
def test_programs_that_change_buffers_are_refused(
    cifar: list[Path], run: Runner, tmp_path: Path, external: bool
) -> None:
    counting = export(tmp_path, 0.0, external, Counting)
    for command in ("evaluate", "predict"):
        done = run(command, counting.program, *counting.weights, *data_flags(cifar))
        assert (done.code, "changes buffers" in done.error) == (3, True)


def test_wrong_records_are_refused(dropping: Exported, run: Runner, tmp_path: Path) -> None:
    for name, content in (
        ("short.bin", bytes(3072)),
        ("class.bin", b"\x0b" + bytes(3072)),
        ("empty.bin", b""),
    ):
        (tmp_path / name).write_bytes(content)
        assert run("evaluate", dropping.program, "--data", tmp_path / name).code == 3
