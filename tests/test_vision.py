"""torchvision imports once, twice, and beside compiled operators that don't load."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from edgetrain import vision


def test_imports_in_a_fresh_process_twice_and_its_parts_afterwards() -> None:
    code = (
        "from edgetrain.vision import import_torchvision\n"
        "first, second = import_torchvision(), import_torchvision()\n"
        "assert first is second\n"
        "from torchvision import datasets, models, transforms\n"
        "import torch\n"
        "print(tuple(models.mobilenet_v2(num_classes=3).eval()(torch.zeros(1, 3, 32, 32)).shape))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 3)\n"
    assert done.stderr == ""


def test_imports_again_without_the_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    good = SimpleNamespace()
    calls: list[dict[str, bool]] = []

    def fake_import(name: str) -> object:
        calls.append({"patched": vision._DESCRIPTIONS in vision.sys.modules})
        if len(calls) == 1:
            raise RuntimeError("operator torchvision::nms does not exist")
        return good

    modules = {
        "torchvision": SimpleNamespace(),
        "torchvision.half": SimpleNamespace(),
        "torch": SimpleNamespace(),
    }
    monkeypatch.setattr(vision, "importlib", SimpleNamespace(import_module=fake_import))
    monkeypatch.setattr(vision, "sys", SimpleNamespace(modules=modules))
    assert vision.import_torchvision() is good
    assert calls == [{"patched": False}, {"patched": True}]
    assert "torchvision.half" not in modules
    assert "torch" in modules


def test_other_errors_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def fake_import(name: str) -> object:
        raise RuntimeError("something else")

    monkeypatch.setattr(vision, "importlib", SimpleNamespace(import_module=fake_import))
    with pytest.raises(RuntimeError, match="something else"):
        vision.import_torchvision()
