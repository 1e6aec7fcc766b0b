"""What is written, and when it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from convert_models import Two, example, make

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS, TaskSpec
from edgetrain.convert.verification import check_error, check_sqnr, compare, in_double
from edgetrain.errors import CheckFailedError, ConfigError, InputError
from edgetrain.runtimes import open_session
from edgetrain.runtimes.inference import InferenceProgram

Convert = Callable[..., Any]


def test_batches_up_to_a_maximum(convert_model: Convert) -> None:
    report = convert_model("scripted", "Images", max_batch_size=4, backend="xnnpack")
    assert (report.target, report.batch, report.fixed_batch) == ("pte (xnnpack, float32)", 4, False)
    program = InferenceProgram(report.outputs[0])
    for batch in (1, 3, 4):
        inputs = example("Images", batch)
        torch.testing.assert_close(program.run(inputs)[0], make("Images")(inputs), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match="ExecuTorch failed"):
        program.run(example("Images", 5))


@pytest.mark.slow
def test_int8(convert_model: Convert, tmp_path: Path) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, images=example("Images", 32).numpy())
    report = convert_model("mobile", "Images", backend="xnnpack", precision="int8", inputs=samples)
    assert report.comparison.sqnr_db >= 25
    assert report.comparison.samples == 32
    assert report.comparison.relative_error > 1e-4
    assert report.delegated is not None
    assert report.delegated[0] > 0
    assert not [note for note in report.notes if "random numbers" in note]


@pytest.mark.slow
def test_a_converted_program_trains(convert_model: Convert) -> None:
    """Without the model's code: in ExecuTorch, and in PyTorch, which it is compared with."""
    program = load_program(
        convert_model("mobile", "Seizures", to="train", export={"max_batch_size": 4}).outputs[0]
    )
    session = open_session("executorch", program)
    inputs, targets = {INPUTS: example("Seizures", 4)}, {TARGETS: torch.tensor([0, 1, 0, 1])}
    losses = []
    for _ in range(30):
        losses.append(session.evaluate(inputs, targets).loss)
        session.forward_backward(inputs, targets)
        for name, parameter in session.parameters.items():
            parameter -= 0.05 * session.gradients[name]
    assert losses[-1] < losses[0] - 0.05, losses
    eager = open_session("torch", program)
    assert eager.evaluate(inputs, targets).loss == pytest.approx(losses[0], rel=1e-5)
    for name, tensor in eager.parameters.items():
        tensor.copy_(session.parameters[name])
    torch.testing.assert_close(eager.predict(inputs), session.predict(inputs), rtol=1e-4, atol=1e-5)


def _two(folder: Path) -> Path:
    torch.manual_seed(0)
    model = Two().eval()
    images, ids = torch.randn(2, 3, 8, 8), torch.randint(0, 9, (2, 4))
    torch.jit.trace(model, (images, ids)).save(str(folder / "two.pt"))
    return folder / "two.pt"


@pytest.mark.parametrize("to", ["pte", "train"])
def test_several_inputs(convert: Convert, tmp_path: Path, to: str) -> None:
    report = convert(_two(tmp_path), to=to, input_shape=["3,8,8", "4:int64"], export={"max_batch_size": 2})
    assert report.inputs == ["3,8,8", "4:int64"]
    assert report.comparison.relative_error < 1e-5
    if to == "train":
        program = load_program(report.outputs[0])
        assert list(program.manifest.inputs) == ["image", "ids"]
        assert [a.name for a in program.manifest.contract.methods["train"].taken("input")] == ["image", "ids"]


def test_a_checkpoint_of_several_inputs(convert: Convert, tmp_path: Path) -> None:
    torch.save(Two().state_dict(), tmp_path / "two.pth")
    settings = {"model": "convert_models:Two", "input_shape": ["3,8,8", "4:int64"]}
    convert(tmp_path / "two.pth", to="pth", **settings)
    written = load_checkpoint(tmp_path / "out.pth")
    assert {n: (s.shape, s.dtype) for n, s in written.inputs.items()} == {
        "image": ((3, 8, 8), "float32"),
        "ids": ((4,), "int64"),
    }
    assert (written.task.name, written.targets) == ("classification", None)


def test_samples_by_name(convert: Convert, tmp_path: Path) -> None:
    arrays = {"ids": np.zeros((3, 4), "i8"), "image": np.ones((3, 3, 8, 8), "f4")}
    np.savez(tmp_path / "samples.npz", **arrays)
    settings = {"input_shape": ["3,8,8", "4:int64"], "inputs": tmp_path / "samples.npz"}
    assert convert(_two(tmp_path), **settings).comparison.samples == 3


def test_other_tasks(convert_model: Convert, tmp_path: Path) -> None:
    convert_model("state_dict", "Seizures", to="pth", loss={"name": "mse"})
    assert load_checkpoint(tmp_path / "out.pth").task == TaskSpec(name="regression", loss="mse")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 3, 9, 9), "f4")}, r"x has samples of shape \[3, 9, 9\]"),
        ({"x": np.zeros((4, 3, 12, 12)), "y": np.zeros(4)}, r"has 2 arrays \(x, y\), but the model takes 1"),
        ({"x": np.full((4, 3, 12, 12), np.nan)}, "not finite numbers"),
        ({"x": np.array([object()], dtype=object)}, "no plain .npz file .*holds Python objects"),
    ],
)
def test_samples_that_do_not_fit(convert_model: Convert, tmp_path: Path, arrays: Any, message: str) -> None:
    np.savez(tmp_path / "samples.npz", **arrays)
    with pytest.raises(InputError, match=message):
        convert_model("traced", "Images", inputs=tmp_path / "samples.npz")


def test_results_that_differ_are_refused() -> None:
    expected = torch.tensor([[1.0, 3.0], [0.0, -4.0]])
    near = expected + torch.tensor([[0.0, 0.0], [0.0, 0.4]])
    found = compare([near], [expected])
    assert (found.max_error, found.relative_error) == pytest.approx((0.4, 0.1))
    assert found.sqnr_db == pytest.approx(20 * np.log10(26**0.5 / 0.4), rel=1e-4)
    assert (found.samples, found.top1) == (2, 1.0)
    check_error([near], [expected], 0.08)
    with pytest.raises(
        CheckFailedError, match=r"by 7\.8e-02 of an output's size, more than --tolerance 0\.07;"
    ):
        check_error([near], [expected], 0.07)
    with pytest.raises(CheckFailedError, match=r"an SQNR of 22\.1 dB, less than --min-sqnr 25; calibrate"):
        check_sqnr(found, 25)
    broken = expected * float("nan")
    with pytest.raises(CheckFailedError):
        check_error([broken], [expected], 1.0)
    with pytest.raises(CheckFailedError):
        check_sqnr(compare([broken], [expected]), -100)
    with pytest.raises(CheckFailedError, match="returns"):
        compare([expected[:1]], [expected])


def test_float64_is_the_judge() -> None:
    """Three times the source's own rounding is right, as a small output beside a large one has to be."""
    exact = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
    ours, source = exact + 0.024, exact - 0.01
    check_error([ours], [source], 1e-5, lambda: [exact])
    with pytest.raises(CheckFailedError, match=r"\(float32's own error in the source is 5\.8e-03\)"):
        check_error([exact + 0.035], [source], 1e-5, lambda: [exact])
    with pytest.raises(CheckFailedError):
        check_error([ours], [source], 1e-5)
    with pytest.raises(CheckFailedError):
        check_error([exact * float("nan")], [source], 1e-5, lambda: [exact])
    large, small = 1e6 * exact, 1e-3 * exact
    mixed = compare([large, 2 * small], [large, small])
    assert mixed.relative_error < 1e-5
    assert mixed.sqnr_by_output == [float("inf"), 0.0]
    with pytest.raises(CheckFailedError):
        check_error([large, 2 * small], [large, small], 1e-5)
    with pytest.raises(CheckFailedError, match=r"0\.0 dB, in the worst of its outputs"):
        check_sqnr(mixed, 25)


def test_a_source_in_float64() -> None:
    layer, samples = torch.nn.Linear(40, 3), [torch.randn(5, 40)]
    expected = torch.nn.functional.linear(samples[0].double(), *(p.double() for p in layer.parameters()))
    for run in (layer, torch.jit.trace(layer, samples[0])):
        found = in_double(run, samples, 2)
        assert found is not None
        torch.testing.assert_close(found[0], expected)
    # Neither the source nor what has types of its own is changed.
    assert layer.weight.dtype == torch.float32
    assert in_double(lambda x: x, samples, 2) is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"convert.precision": "int8"}, "int8 needs the backend xnnpack"),
        ({"convert.to": "train", "convert.backend": "xnnpack"}, "they need to: pte"),
        ({"convert.input_shape": ["3,0"]}, "must be lengths such as 3,32,32"),
    ],
)
def test_settings_that_contradict_each_other(flags: dict[str, Any], message: str) -> None:
    from edgetrain.config.loader import load_config

    with pytest.raises(ConfigError, match=message):
        load_config("convert", flags=flags)
