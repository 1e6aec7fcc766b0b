"""Every kind of model in every kind of file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from convert_models import MODELS, NAMES_ITS_MODEL, WRITERS, example, make, model_flags
from torch import nn

from edgetrain.config.convert import ConvertConfig
from edgetrain.convert.kinds import identify
from edgetrain.convert.readers import read_source

# Weights alone end in the model they were taken from, so that one such format will do for the slower models;
# `test_captured_modules_train` has all of them.
CASES = [
    *((name, kind) for name in ("Images", "Seizures") for kind in WRITERS),
    *(
        (name, kind)
        for name in ("Recurrent", "Tokens")
        for kind in ("state_dict", "traced", "scripted", "pt2")
    ),
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_inference(name: str, kind: str, convert_model: Callable[..., Any]) -> None:
    report = convert_model(kind, name)
    assert report.outputs[0].read_bytes()[4:8] == b"ET12"
    assert report.comparison.relative_error < 1e-5
    assert report.comparison.top1 == 1
    assert (report.batch, report.fixed_batch) == (1, True)


@pytest.mark.slow
def test_mobilenet(convert_model: Callable[..., Any]) -> None:
    assert convert_model("mobile", "mobilenet").comparison.relative_error < 1e-5


def _captured(kind: str, name: str, path: Path) -> nn.Module:
    source = read_source(identify(path), ConvertConfig.model_validate(model_flags(kind, name)))
    captured = source.captured([example(name)])
    assert captured.batch is None
    return captured.module


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("name", MODELS)
def test_captured_modules_train(name: str, kind: str, model_file: Callable[[str, str], Path]) -> None:
    """What is lowered has the outputs, parameters and gradients of the model the file was made of."""
    source, captured = make(name), _captured(kind, name, model_file(kind, name))
    inputs = example(name, batch=3)
    assert dict(captured.named_parameters()).keys() == dict(source.named_parameters()).keys()
    for model in (source, captured):
        model.eval()
        model(inputs).square().mean().backward()
    torch.testing.assert_close(captured(inputs), source(inputs), rtol=1e-5, atol=1e-6)
    for name_of, parameter in source.named_parameters():
        found = captured.get_parameter(name_of).grad
        assert found is not None
        assert (found - parameter.grad).norm() <= 1e-4 * parameter.grad.norm() + 1e-9, name_of


@pytest.mark.parametrize("kind", ["traced", "scripted", "mobile", "pt2"])
def test_layers_follow_the_mode_again(kind: str, model_file: Callable[[str, str], Path]) -> None:
    assert kind in NAMES_ITS_MODEL
    captured = _captured(kind, "Images", model_file(kind, "Images"))
    inputs = example("Images")
    before = captured.get_buffer("norm.running_mean").clone()
    captured.train()
    assert not torch.equal(captured(inputs), captured(inputs))
    assert not torch.equal(captured.get_buffer("norm.running_mean"), before)
    captured.eval()
    assert torch.equal(captured(inputs), captured(inputs))


@pytest.mark.slow
@pytest.mark.thorough
def test_training_programs(convert_model: Callable[..., Any]) -> None:
    report = convert_model("scripted", "Tokens", to="train", export={"max_batch_size": 4})
    assert [path.name for path in report.outputs] == ["out.pte", "out.ptd", "out.json"]
    assert report.gradient_error < 1e-4
    assert report.comparison.relative_error < 1e-5
    assert report.batch == 4


def test_one_model_from_pt_and_from_ptl(convert_model: Callable[..., Any]) -> None:
    """One network, as a checkpoint and as it was made for PyTorch Mobile, gives equal outputs."""
    from edgetrain.runtimes.inference import InferenceProgram

    inputs = example("Seizures", batch=1)
    outputs = []
    for kind in ("checkpoint", "mobile"):
        # Outputs lie in the program's memory, so that it has to be there until they are copied.
        program = InferenceProgram(convert_model(kind, "Seizures").outputs[0])
        outputs.append(program.run(inputs)[0].clone())
    assert torch.equal(*outputs)
