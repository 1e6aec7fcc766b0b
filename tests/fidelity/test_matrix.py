"""The matrix of models: each trains as in PyTorch, in all runtimes, with batches of several sizes."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from matrix import MATRIX, Entry

from edgetrain.checking import check
from edgetrain.config.stages import CheckCommand
from edgetrain.runner import find_kernels, find_runner


def command(entry: Entry, **settings: Any) -> CheckCommand:
    if entry.learning_rate is not None:
        settings["learning_rate"] = entry.learning_rate
    return CheckCommand.model_validate(
        {
            "check": {
                "input_shape": [entry.shape],
                "num_classes": entry.classes,
                "timed_steps": 0,
                **settings,
            },
            "model": {"name": entry.model, "args": entry.args},
            "task": {"name": entry.task},
        }
    )


@pytest.mark.slow
@pytest.mark.skipif(find_runner() is None or find_kernels() is None, reason="needs the native parts")
@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(entry, id=entry.name, marks=[] if entry.fast else [pytest.mark.thorough])
        for entry in MATRIX
    ],
)
def test_it_trains_as_in_pytorch(entry: Entry) -> None:
    if entry.needs is not None and find_spec(entry.needs) is None:
        pytest.skip(f"needs {entry.needs}")
    report = check(command(entry, stock=not entry.fast, steps=3 if entry.fast else 5))
    wrong = [
        (run.runtime, run.kernels, run.batch_size, name, found)
        for run in report.runs
        for group in run.groups.values()
        for name, found in group.items()
        if not found.right
    ]
    assert report.exports, report.reason
    assert not wrong
    assert report.right, report.reason
    assert {run.runtime for run in report.runs} == {"executorch", "native"}


def test_every_family_is_there() -> None:
    """Those of torchvision's classification models, by their functions' modules."""
    families = {entry.family for entry in MATRIX}
    known = (
        "alexnet convnext densenet efficientnet efficientnet_v2 googlenet inception_v3 maxvit mnasnet "
        "mobilenet_v2 mobilenet_v3 regnet_x regnet_y resnet resnext shufflenet_v2 squeezenet swin vgg vit "
        "wide_resnet"
    )
    assert set(known.split()) <= families
    assert len({entry.name for entry in MATRIX}) == len(MATRIX)
