"""TorchScript: traced and scripted modules, and `.ptl` files of PyTorch Mobile, which hold the same code."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from ...artifacts.archive import Archive
from ...config.convert import ConvertConfig
from ...errors import InputError
from ...models.input_names import input_names
from ...models.states import tensors_of
from ..kinds import Identified
from ..rewritten_script import rewritten_script
from ..source import Captured, Runnable, Source
from ..specs import ModelInput
from ..tracing import trace_script
from ..weights import find_weights
from .named_model import source_of_weights

_PREPACKED = b"torch.classes.xnnpack"
_QUANTIZED = re.compile(rb"torch\.classes\.quantized|\bops\.quantized\b")
_VERSIONS = re.compile(r"version (\d+).*?maximum supported version for reading is (\d+)", re.DOTALL)


def read_torchscript(found: Identified, config: ConvertConfig) -> Source:
    """Loads a ScriptModule; with `--model` only its weights are taken.

    Raises:
        InputError: damaged, prepacked, quantized, or of a newer format.
    """
    assert found.archive is not None
    mobile = "bytecode.pkl" in found.archive
    _check_code(found.archive)
    module = _load(found)
    module.eval()
    origin = str(found.path)
    kind = "TorchScript (mobile)" if mobile else "TorchScript"
    _check_float(module, origin)
    if config.model is not None:
        return source_of_weights(find_weights(module.state_dict(), origin), config, kind, found.path)

    notes = _in_float32(module)

    def capture(example: Sequence[Tensor], run: Runnable) -> Captured:
        return trace_script(module, example, origin, run)

    return Source(
        format=kind,
        reference=module,
        state=tensors_of(module),
        capture=capture,
        inputs=_bundled_inputs(module),
        notes=notes
        if list(module.parameters())
        else ["its weights are frozen into the code: it can't be trained"],
    )


def _load(found: Identified) -> torch.jit.ScriptModule:
    path = found.path
    assert found.archive is not None
    try:
        with rewritten_script(found.archive) as file:
            return torch.jit.load(file, map_location="cpu")
    except (RuntimeError, ValueError, KeyError, EOFError, AttributeError) as error:
        text = str(error)
        versions = _VERSIONS.search(text)
        if versions:
            raise InputError(
                f"{path} has TorchScript version {versions[1]}; this PyTorch ({torch.__version__}) reads up "
                f"to {versions[2]}: convert it with a newer edgetrain"
            ) from error
        unknown = re.search(r"Unknown (?:type name|builtin op): '?([\w.:]+)", text)
        if unknown:
            raise InputError(
                f"{path} needs {unknown[1]}, which this PyTorch doesn't have; convert the file it was made "
                "from"
            ) from error
        reason = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
        raise InputError(f"{path} is no TorchScript that this PyTorch can load ({reason.strip()})") from error


def _check_code(archive: Archive) -> None:
    names = [n for n in archive.records if n.startswith("code/") or n in ("data.pkl", "bytecode.pkl")]
    with archive.kept_open():
        contents = [archive.read(name) for name in names]
    for content in contents:
        if _PREPACKED in content:
            raise InputError(
                f"{archive.path} was prepacked for PyTorch Mobile by optimize_for_mobile, and its weights "
                "can't be unpacked again; convert the .pt it was made from, or optimize that anew with "
                "{MobileOptimizerType.INSERT_FOLD_PREPACK_OPS} as blocklist"
            )
        if _QUANTIZED.search(content):
            raise _quantized(str(archive.path))
    if not any(name.startswith("code/") for name in names):
        raise InputError(f"{archive.path} has no TorchScript code in it; convert the .pt it was made from")


def _check_float(module: torch.jit.ScriptModule, origin: str) -> None:
    quantized = any(t.is_quantized for t in module.state_dict().values())
    if quantized or "quantized::" in str(module.inlined_graph):
        raise _quantized(origin)


def _quantized(origin: str) -> InputError:
    return InputError(
        f"{origin} is quantized by PyTorch's old quantization, whose operators ExecuTorch doesn't have; "
        "convert the float model, with --precision int8 to quantize it again"
    )


def _in_float32(module: torch.jit.ScriptModule) -> list[str]:
    """Brings weights of other types to that in which programs compute, and says so."""
    other = {t.dtype for t in module.state_dict().values() if t.is_floating_point()} - {torch.float32}
    if not other:
        return []
    module.float()
    names = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in other))
    return [f"its weights are {names}; the program computes in float32"]


def _bundled_inputs(module: torch.jit.ScriptModule) -> dict[str, ModelInput] | None:
    """What `bundle_inputs` has put into the file as an example."""
    if not hasattr(module, "get_all_bundled_inputs"):
        return None
    try:
        examples = module.get_all_bundled_inputs()
    except RuntimeError:
        return None
    if not examples or not all(isinstance(t, Tensor) and t.dim() for t in examples[0]):
        return None
    return {
        name: ModelInput(tuple(t.shape[1:]), str(t.dtype).removeprefix("torch."))
        for name, t in zip(input_names(module, len(examples[0])), examples[0], strict=True)
    }
