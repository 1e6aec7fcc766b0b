"""Packed data with a manifest beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.artifacts.sealed import sealed
from edgetrain.artifacts.tensors import write_tensors

Runner = Callable[..., Any]
SCALE, MEAN, STD = 1 / 255, [0.5, 0.25], [0.25, 0.5]


class WithLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 3, 4))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.net(x)
        return nn.functional.cross_entropy(logits, y), logits.detach().argmax(dim=1)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    """A program of ExecuTorch's own: it has no manifest."""
    from executorch.exir import EdgeCompileConfig, to_edge
    from torch.export.experimental import _export_forward_backward

    torch.manual_seed(0)
    model = WithLoss()
    example = (torch.randn(2, 2, 3, 3), torch.ones(2, dtype=torch.int64))
    joint = _export_forward_backward(torch.export.export(model, example, strict=True))
    edge = to_edge(joint, compile_config=EdgeCompileConfig(_check_ir_validity=False))
    path = tmp_path_factory.mktemp("program") / "net.pte"
    path.write_bytes(edge.to_executorch().buffer)
    return model.net, path


def stored(preprocessing: Any, *shape: int) -> dict[str, Any]:
    return {"inputs": {"shape": list(shape), "dtype": "uint8", "preprocessing": preprocessing}}


def pack(path: Path, images: torch.Tensor, labels: torch.Tensor, **changes: Any) -> Path:
    write_tensors(path, {"inputs": images, "targets": labels})
    content = path.read_bytes()
    manifest = {
        "schema_version": 3,
        "digest": "",
        "kind": "edgetrain.dataset",
        "file": {"name": path.name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()},
        "samples": len(images),
        "inputs": stored({"scale": SCALE, "mean": MEAN, "std": STD}, *images.shape[1:]),
        "targets": {"targets": {"shape": [], "dtype": "int64"}},
        "classes": None,
        **changes,
    }
    path.with_suffix(".json").write_text(sealed(json.dumps(manifest)))
    return path


def images(count: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
    return inputs, torch.randint(0, 4, (count,), generator=generator)


def test_preprocessing_is_that_of_the_data(program: Any, run: Runner, tmp_path: Path) -> None:
    net, path = program
    inputs, targets = images(6, 2, 3, 3)
    data = pack(tmp_path / "data.ptd", inputs, targets)

    def expected(scale: float, mean: list[float], std: list[float]) -> float:
        mean_, std_ = (torch.tensor(v).reshape(-1, 1, 1) for v in (mean, std))
        with torch.no_grad():
            logits = net((inputs.float() * scale - mean_) / std_)
        return float(nn.functional.cross_entropy(logits, targets))

    def loss(*flags: Any) -> float:
        done = run("evaluate", path, "--data", data, *flags)
        assert done.code == 0, done.error
        return done.events("result")[0]["loss"]

    assert loss() == pytest.approx(expected(SCALE, MEAN, STD), rel=1e-5)
    assert loss("--scale", 0.01) == pytest.approx(expected(0.01, [0.0], [1.0]), rel=1e-5)
    data.with_suffix(".json").unlink()
    assert loss() == pytest.approx(expected(1.0, [0.0], [1.0]), rel=1e-5)


def test_a_run_is_not_resumed_with_another_preprocessing(program: Any, run: Runner, tmp_path: Path) -> None:
    data = pack(tmp_path / "data.ptd", *images(6, 2, 3, 3))
    common = ["train", program[1], "--data", data, "-o", tmp_path / "out.pte", "--max-steps"]
    assert run(*common, 2).code == 0
    data.with_suffix(".json").unlink()
    done = run(*common, 3, "--resume")
    assert (done.code, "--mean" in done.error) == (2, True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"file": {"name": "data.ptd", "bytes": 5, "sha256": ""}}, "its manifest says 5"),
        ({"schema_version": 1}, "another schema"),
        ({"kind": "edgetrain.other"}, "another schema"),
        ({"inputs": stored({"scale": 1, "mean": [0], "std": [0]})}, "preprocessing can't be used"),
        ({"inputs": stored(None)}, "preprocessing is missing"),
    ],
    ids=str,
)
def test_wrong_manifests_are_refused(
    program: Any, run: Runner, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    data = pack(tmp_path / "data.ptd", *images(6, 2, 3, 3), **change)
    done = run("evaluate", program[1], "--data", data)
    assert (done.code, reason in done.error) == (3, True), done.error


def test_other_data_than_the_manifest_describes(program: Any, run: Runner, tmp_path: Path) -> None:
    inputs, targets = images(6, 2, 3, 3)
    data = pack(tmp_path / "data.ptd", inputs, targets)
    write_tensors(data, {"inputs": inputs + 1, "targets": targets})
    done = run("evaluate", program[1], "--data", data)
    assert (done.code, "SHA-256" in done.error) == (3, True)
    data.with_suffix(".json").write_text("{")
    assert run("evaluate", program[1], "--data", data).code == 3


def test_classes_must_agree(digits_program: Any, run: Runner, tmp_path: Path) -> None:
    content = images(6, 1, 8, 8)
    known = json.loads(digits_program.manifest.read_text())["task"]["classes"]

    def done(classes: list[str] | None) -> Any:
        data = pack(tmp_path / "data.ptd", *content, classes=classes)
        return run("evaluate", digits_program.program, "--data", data)

    assert done(known).code == done(None).code == 0
    swapped = done([known[1], known[0], *known[2:]])
    assert (swapped.code, f"class 0 is {known[1]}, not {known[0]}" in swapped.error) == (3, True)
    assert done(known[:4]).code == 3


def test_files_that_disagree(program: Any, run: Runner, tmp_path: Path) -> None:
    one = pack(tmp_path / "one.ptd", *images(4, 2, 3, 3))
    two = pack(tmp_path / "two.ptd", *images(4, 2, 3, 3))
    assert run("evaluate", program[1], "--data", one, "--data", two).code == 0
    other = stored({"scale": 1, "mean": [0], "std": [1]})
    two = pack(tmp_path / "two.ptd", *images(4, 2, 3, 3), inputs=other)
    assert run("evaluate", program[1], "--data", one, "--data", two).code == 3


def test_a_sample_that_is_no_number_is_named(digits_program: Any, run: Runner, tmp_path: Path) -> None:
    """It is not the learning rate's fault."""
    inputs = torch.rand(20, 1, 8, 8)
    inputs[13, 0, 2, 2] = float("nan")
    write_tensors(tmp_path / "a.ptd", {"inputs": inputs, "targets": torch.arange(20) % 10})
    result = run(
        "train",
        digits_program.program,
        "--data",
        tmp_path / "a.ptd",
        "-o",
        tmp_path / "t.ptd",
        "--batch-size",
        4,
    )
    assert result.code == 3
    assert "sample 13 of the training data has NaN or infinity in inputs; no new weights" in result.error
