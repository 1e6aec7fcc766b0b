"""docs/on-device.md shows what is in examples/on_device, and the C++ there trains as PyTorch does."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.tensors import write_tensors
from edgetrain.models import build_model

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "on-device.md"
EXAMPLES = {
    "cpp": ROOT / "examples" / "on_device" / "cpp" / "main.cpp",
    "cmake": ROOT / "examples" / "on_device" / "cpp" / "CMakeLists.txt",
    "kotlin": ROOT / "examples" / "on_device" / "kotlin" / "Training.kt",
    "swift": ROOT / "examples" / "on_device" / "swift" / "Training.swift",
}
LEARNING_RATE = 0.02  # the example's


@pytest.mark.parametrize("language", sorted(EXAMPLES))
def test_the_page_shows_the_files(language: str) -> None:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    code = EXAMPLES[language].read_text()
    shown = [block for block in blocks if not block.startswith("// build.gradle")]
    assert shown
    for block in shown:
        assert block in code, f"{EXAMPLES[language].name} has no such lines:\n{block}"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    cmake = shutil.which("cmake", path=path)
    if cmake is None or shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler and CMake (pip install cmake)")
    spec = importlib.util.find_spec("executorch")
    assert spec is not None
    assert spec.submodule_search_locations
    build = tmp_path_factory.mktemp("app")
    flags = [
        f"-DCMAKE_PREFIX_PATH={next(iter(spec.submodule_search_locations))}",
        "-DCMAKE_CXX_FLAGS=-Werror",
    ]
    for command in ([cmake, "-S", EXAMPLES["cpp"].parent, "-B", build, *flags], [cmake, "--build", build]):
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return build / "on_device"


def _losses(*command: Any) -> list[float]:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return [float(line.rpartition(" ")[2]) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["graph", "own"])
def test_the_cpp_trains_as_pytorch(app: Path, digits_program: Any, way: str, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (150, 1, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (150,), generator=generator)
    write_tensors(tmp_path / "data.ptd", {"inputs": pixels, "targets": labels})
    inputs = (pixels.double() / 255 - 0.3053) / 0.3759

    checkpoint = load_checkpoint(digits_program.checkpoint)
    model = build_model(checkpoint.model)
    model.load_state_dict(checkpoint.state)
    model.double().train()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=0.9 if way == "graph" else 0.0)
    expected = []
    for x, y in zip(inputs.split(32), labels.split(32), strict=True):
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    expected.append(torch.nn.functional.cross_entropy(model(inputs[:32]), labels[:32]).item())

    files = [digits_program.program, digits_program.weights, tmp_path / "data.ptd", tmp_path / "tuned.ptd"]
    assert _losses(app, *files, way) == pytest.approx(expected, rel=1e-4)
    # What it saved is what it had learned.
    files[1], files[3] = files[3], tmp_path / "more.ptd"
    assert _losses(app, *files, way)[0] == pytest.approx(expected[-1], rel=1e-4)


@pytest.mark.filterwarnings("ignore:This API is experimental")
def test_train_alone_trains_without_shared_memory(digits_program: Any, batch: Any) -> None:
    """What the page's Swift does."""
    from executorch.extension.pybindings import _C

    inputs, targets = batch(8)
    checkpoint = load_checkpoint(digits_program.checkpoint)
    model = build_model(checkpoint.model)
    model.load_state_dict(checkpoint.state)
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=0.9)
    module = _C._load_for_executorch(str(digits_program.program), str(digits_program.weights))
    for _ in range(4):
        outputs = module.run_method("train", [inputs, targets, torch.tensor(LEARNING_RATE)])
        loss = torch.nn.functional.cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert float(outputs[0]) == pytest.approx(loss.item(), rel=1e-5)
