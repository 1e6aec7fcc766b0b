"""TorchScript and .ptl: what is read, what is refused, and why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from convert_models import Images, Tokens, example, make, with_record
from torch import Tensor, nn
from torch.utils.bundled_inputs import augment_model_with_bundled_inputs

from edgetrain.artifacts.manifest import load_manifest
from edgetrain.errors import CheckFailedError, InputError
from edgetrain.runtimes.inference import InferenceProgram

Convert = Callable[..., Any]
SHAPE = {"input_shape": ["3,12,12"]}


def test_prepacked_files(convert: Convert, model_file: Any, tmp_path: Path) -> None:
    """A PyTorch with XNNPACK would write such a file; what gives it away is the name of its classes."""
    path = with_record(
        model_file("mobile", "Images"),
        tmp_path / "prepacked.ptl",
        "bytecode.pkl",
        lambda content: content + b"__torch__.torch.classes.xnnpack.Conv2dOpContext",
    )
    with pytest.raises(
        InputError, match=r"was prepacked for PyTorch Mobile.*convert the \.pt it was made from"
    ):
        convert(path, **SHAPE)


def test_newer_files(convert: Convert, model_file: Any, tmp_path: Path) -> None:
    path = with_record(model_file("traced", "Images"), tmp_path / "new.pt", "version", lambda _: b"999\n")
    with pytest.raises(
        InputError, match=r"has TorchScript version 999; this PyTorch \(2\.\d+.*reads up to \d+"
    ):
        convert(path, **SHAPE)


def test_code_that_touches_files(convert: Convert, tmp_path: Path) -> None:
    class Writes(nn.Module):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            mapped = torch.from_file(self.name, True, 4)
            return self.fc(x) + mapped.sum()

    target = tmp_path / "precious"
    target.write_bytes(bytes(16))
    torch.jit.script(Writes(str(target))).save(str(tmp_path / "writes.pt"))
    with pytest.raises(InputError, match=r"is refused: .* calls torch\.from_file, which no model does"):
        convert(tmp_path / "writes.pt", input_shape=["3"])


@pytest.mark.parametrize("call", [b"torch. save", b"ops.aten .save", b"torch.\\\n save", b"torch.# x\n save"])
def test_code_that_hides_what_it_does_to_files(convert: Convert, tmp_path: Path, call: bytes) -> None:
    target = tmp_path / "written"
    torch.jit.trace(nn.Linear(4, 2), torch.zeros(1, 4)).save(str(tmp_path / "plain.pt"))

    def add(code: bytes) -> bytes:
        line = b'    _9 = %s(x, "%s")\n' % (call, str(target).encode())
        return code.replace(b"    return ", line + b"    return ", 1)

    path = with_record(tmp_path / "plain.pt", tmp_path / "hidden.pt", ".py", add)
    assert path.read_bytes().count(call) == 1
    with pytest.raises(InputError, match=r"is refused: .* (calls (torch|aten)\.save|can't be read)"):
        convert(path, input_shape=["4"])
    assert not target.exists()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scripted", [True, False])
def test_other_precisions(convert: Convert, tmp_path: Path, dtype: torch.dtype, scripted: bool) -> None:
    """Their weights, in the precision of programs."""
    model, inputs = make("Images").to(dtype), example("Images").to(dtype)
    module = torch.jit.script(model) if scripted else torch.jit.trace(model, inputs)
    module.save(str(tmp_path / "net.pt"))
    report = convert(tmp_path / "net.pt", input_shape=["3,12,12"])
    (note,) = report.notes
    assert note == f"its weights are {str(dtype).removeprefix('torch.')}; the program computes in float32"
    program, rounded = InferenceProgram(report.outputs[0]), make("Images").to(dtype).float()
    x = example("Images", 1)
    torch.testing.assert_close(program.run(x)[0], rounded(x), rtol=1e-4, atol=1e-5)


def test_quantized_modules(convert: Convert, tmp_path: Path) -> None:
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)), {nn.Linear})
    torch.jit.script(model).save(str(tmp_path / "quantized.pt"))
    with pytest.raises(InputError, match=r"quantized by PyTorch's old quantization.*--precision int8"):
        convert(tmp_path / "quantized.pt", input_shape=["4"])


def test_frozen_modules_have_nothing_to_train(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "frozen.pt"
    torch.jit.freeze(torch.jit.script(make("Images"))).save(str(path))
    report = convert(path, **SHAPE)
    assert report.comparison.relative_error < 1e-5
    assert report.notes == ["its weights are frozen into the code: it can't be trained"]
    with pytest.raises(InputError, match=r"is frozen.*convert it with --to pte"):
        convert(path, to="train", **SHAPE)


def test_training_mode(convert: Convert, tmp_path: Path) -> None:
    module = Images().train()
    torch.jit.script(module).save(str(tmp_path / "scripted.pt"))
    assert convert(tmp_path / "scripted.pt", **SHAPE).comparison.relative_error < 1e-5
    torch.jit.trace(module, example("Images"), check_trace=False).save(str(tmp_path / "traced.pt"))
    with pytest.raises(InputError, match=r"gives other results each time.*model\.eval\(\)"):
        convert(tmp_path / "traced.pt", **SHAPE)
    module.drop.p = 0.0
    torch.jit.trace(module, example("Images"), check_trace=False).save(str(tmp_path / "traced.pt"))
    with pytest.raises(
        InputError, match=r"captured in training mode, so that its (dropout|batch norm) stays on"
    ):
        convert(tmp_path / "traced.pt", **SHAPE)


def test_fused_attention(convert: Convert, tmp_path: Path) -> None:
    with torch.no_grad():
        torch.jit.trace(Tokens().eval(), example("Tokens")).save(str(tmp_path / "fused.pt"))
    with pytest.raises(InputError, match=r"torch\.backends\.mha\.set_fastpath_enabled\(False\)"):
        convert(tmp_path / "fused.pt", input_shape=["6:int64"])


def test_branches_on_values(convert: Convert, tmp_path: Path) -> None:
    class Branches(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if bool(x.sum() > 0):
                return x + 1
            return x - 1

    torch.jit.script(Branches()).save(str(tmp_path / "branches.pt"))
    with pytest.raises(InputError, match="other branches depending on the values"):
        convert(tmp_path / "branches.pt", input_shape=["3"])


class Fixed(nn.Module):
    """A reshape that holds for one batch size only."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch = batch
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.reshape(self.batch, 6))


def test_a_fixed_batch(convert: Convert, tmp_path: Path) -> None:
    torch.jit.script(Fixed(1)).save(str(tmp_path / "one.pt"))
    report = convert(tmp_path / "one.pt", input_shape=["2,3"])
    assert (report.batch, report.fixed_batch) == (1, True)
    report = convert(tmp_path / "one.pt", input_shape=["2,3"], to="train")
    assert report.notes == ["it was captured for single samples, so that it trains with batches of 1 only"]


def test_bundled_inputs_say_the_shape(convert: Convert, tmp_path: Path) -> None:
    class Bundled(Images):
        """A type of its own: TorchScript would give the methods to every Images that is scripted later."""

    module = torch.jit.script(Bundled().eval())
    augment_model_with_bundled_inputs(module, [(torch.ones(1, 3, 12, 12),)])
    module._save_for_lite_interpreter(str(tmp_path / "bundled.ptl"))
    assert convert(tmp_path / "bundled.ptl").inputs == ["3,12,12"]


def test_several_inputs_and_outputs(convert: Convert, tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
            return self.fc(x), ids + 1

    path = tmp_path / "two.pt"
    torch.jit.script(Two()).save(str(path))
    report = convert(path, input_shape=["3", "5:int64"], max_batch_size=4)
    assert report.comparison.max_error < 1e-6
    assert (report.batch, report.fixed_batch, report.inputs) == (4, False, ["3", "5:int64"])
    report = convert(path, input_shape=["3", "5:int64"], to="train", export={"max_batch_size": 2})
    assert report.comparison.max_error < 1e-6
    manifest = load_manifest(report.outputs[-1])
    assert list(manifest.inputs) == ["x", "ids"]
    assert [a.name for a in manifest.contract.methods["predict"].given("output")] == ["output", "output1"]


def test_expanded_tensors(convert: Convert, tmp_path: Path) -> None:
    """One number that stands for many."""

    class Expanded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)
            self.register_buffer("scale", torch.tensor([[2.0]]).expand(1, 3))
            self.bias = nn.Parameter(torch.ones(3).as_strided((1, 3), (0, 1)))

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) * self.scale + self.bias

    torch.jit.script(Expanded()).save(str(tmp_path / "expanded.pt"))
    assert convert(tmp_path / "expanded.pt", input_shape=["4"]).comparison.relative_error < 1e-5


def test_weights_for_a_named_model(convert: Convert, model_file: Any, tmp_path: Path) -> None:
    report = convert(model_file("mobile", "Images"), to="pth", model="convert_models:Images", **SHAPE)
    assert report.comparison.max_error == 0


def test_operators_without_a_kernel(convert: Convert, tmp_path: Path) -> None:
    class Spectrum(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.bessel_j0(x)

    torch.jit.script(Spectrum()).save(str(tmp_path / "spectrum.pt"))
    with pytest.raises((CheckFailedError, InputError), match="has no kernel"):
        convert(tmp_path / "spectrum.pt", input_shape=["3"])
