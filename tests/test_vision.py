"""torchvision imports once, twice, and beside compiled operators that don't load."""

from __future__ import annotations

import subprocess
import sys

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


def test_whoever_imports_it_succeeds() -> None:
    """As a module of the user's does, which a factory is taken from."""
    code = (
        "import sys\n"
        "from edgetrain.vision import make_torchvision_importable\n"
        "make_torchvision_importable(), make_torchvision_importable()\n"
        "assert 'torchvision' not in sys.modules and 'torch' not in sys.modules\n"
        "assert [type(f).__name__ for f in sys.meta_path].count('_Descriptions') == 1\n"
        "from torchvision.ops import StochasticDepth\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("loaded", [True, False])
def test_operators_are_described_where_there_are_any(loaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision, "_operators_loaded", lambda: loaded)
    finder = vision._Descriptions()
    assert (finder.find_spec("torchvision._meta_registrations") is None) == loaded
    assert finder.find_spec("torchvision.models") is None
    assert finder.find_spec("numpy") is None


def test_names_are_known_without_an_import() -> None:
    code = (
        "import sys\n"
        "from edgetrain.vision import model_names\n"
        "names = model_names()\n"
        "assert 'torchvision' not in sys.modules and 'torch' not in sys.modules\n"
        "from edgetrain.models.torchvision_models import torchvision_names\n"
        "assert list(names) == torchvision_names(), set(names) ^ set(torchvision_names())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
