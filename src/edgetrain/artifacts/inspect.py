"""What a file holds, found out without running anything from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .checkpoint import FORMAT as CHECKPOINT_FORMAT
from .checkpoint import checkpoint_from, load_plain
from .history import load_history
from .kinds import Kind, kind_of
from .manifest import load_manifest, manifest_path
from .native_state import describe_native_state
from .packed import INPUTS, TARGETS, load_description, load_description_of
from .program import check_bounds, load_program
from .tensors import TensorFile, read_tensors

if TYPE_CHECKING:
    import torch

# What `finetune` resumes from; its writer lies above this package.
_FINETUNING_FORMAT = "edgetrain.finetuning"


def describe(path: Path) -> dict[str, Any]:
    """Kind and content of any file edgetrain writes, recognised by its content.

    Returns:
        `kind`, further fields, and `tensors`: name, shape, dtype, ... of each.
    Raises:
        InputError: damaged, or of no known kind.
    """
    kind = kind_of(path)
    if kind is None:
        raise InputError(
            f"{path} is no file edgetrain knows (.pth, .pte, .ptd, manifest, history, bench report or "
            "description of packed data), or it is damaged"
        )
    return _READERS[kind](path)


def _program(path: Path) -> dict[str, Any]:
    if not manifest_path(path).is_file():
        check_bounds(path)
        return {"kind": "ExecuTorch program", "bytes": path.stat().st_size, "manifest": "none beside it"}
    program = load_program(path)
    return {**_manifest_fields(program.manifest), "kind": "edgetrain program", "manifest": "matches"}


def _tensors(path: Path) -> dict[str, Any]:
    file = read_tensors(path, mapped=True)
    packed = _packed(path, file) if set(file.entries) == {INPUTS, TARGETS} else {}
    return {
        "kind": "ExecuTorch tensors",
        **packed,
        "bytes": len(file.data),
        "digest": "matches" if file.digest_offset is not None else "none (not written by edgetrain)",
        "pairing": file.pairing,
        "tensors": [
            {"name": e.name, "shape": list(e.shape), "dtype": e.dtype, "offset": e.offset, "bytes": e.size}
            for e in file.entries.values()
        ],
    }


def _packed(path: Path, file: TensorFile) -> dict[str, Any]:
    """What else is told of packed data, with its description where there is one."""
    shapes = [file.entries[name].shape for name in (INPUTS, TARGETS)]
    if not all(shapes) or shapes[0][0] != shapes[1][0]:
        return {}
    described = load_description_of(path)
    told = {} if described is None else _description_fields(described, exclude={"file"})
    return {
        "samples": shapes[0][0],
        **told,
        "kind": "packed data set",
        "description": "none beside it" if described is None else "matches",
    }


def _description_fields(described: Any, exclude: set[str] | None = None) -> dict[str, Any]:
    left_out = {"config", "kind", "schema_version", *(exclude or ())}
    fields = described.model_dump(mode="json", exclude=left_out)
    return {"kind": "description of a packed data set", **fields}


def _saved_by_torch(path: Path) -> dict[str, Any]:
    plain = load_plain(path)
    if isinstance(plain, dict) and plain.get("format") == _FINETUNING_FORMAT:
        return _finetuning_state(path, plain)
    checkpoint = checkpoint_from(path, plain)
    return {
        "kind": CHECKPOINT_FORMAT,
        "model": checkpoint.model.model_dump(mode="json"),
        "input": checkpoint.input.model_dump(mode="json"),
        "task": checkpoint.task.model_dump(mode="json"),
        "preprocessing": checkpoint.preprocessing.model_dump(mode="json"),
        "metrics": checkpoint.metrics,
        "resumable": checkpoint.training is not None,
        **(_position(path, checkpoint.training) if checkpoint.training is not None else {}),
        "parameters": sum(t.numel() for t in checkpoint.state.values()),
        "tensors": _tensor_rows(checkpoint.state),
    }


def _finetuning_state(path: Path, plain: dict[str, Any]) -> dict[str, Any]:
    try:
        settings = plain["config"]["finetune"]
        return {
            "kind": "fine-tuning state",
            "runtime": settings["runtime"],
            **_position(path, plain),
            "epochs": settings["epochs"],
            "program_sha256": plain["source"]["program"],
            "optimizer": plain["config"]["optimizer"]["name"],
            "tensors": _tensor_rows(plain["tensors"]),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is no complete state of a fine-tuning run ({error})") from error


def _position(path: Path, saved: Any) -> dict[str, Any]:
    """Where a run stood when its state was saved."""
    try:
        state = saved["state"]
        return {
            "finished_epochs": state["epoch"],
            "batches_since": state["batch"],
            "step": state["step"],
            "total_steps": saved["total_steps"],
        }
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} is no complete state of a run ({error})") from error


def _tensor_rows(tensors: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": list(t.shape), "dtype": str(t.dtype).removeprefix("torch.")}
        for name, t in tensors.items()
    ]


def _manifest(path: Path) -> dict[str, Any]:
    return _manifest_fields(load_manifest(path))


def _history(path: Path) -> dict[str, Any]:
    return {"kind": "edgetrain history", **load_history(path).model_dump(mode="json")}


def _description(path: Path) -> dict[str, Any]:
    return _description_fields(load_description(path))


def _report(path: Path) -> dict[str, Any]:
    return {"kind": "edgetrain bench report", **json.loads(path.read_text())}


def _manifest_fields(manifest: Any) -> dict[str, Any]:
    fields = manifest.model_dump(mode="json", exclude={"tensors", "methods", "gradients", "config"})
    methods = {
        name: {
            "inputs": [f"{a.name} {a.shape} {a.dtype}" for a in method.inputs],
            "outputs": len(method.outputs),
            "arena_bytes": method.arena_bytes,
            "operators": len(method.operators),
        }
        for name, method in manifest.methods.items()
    }
    tensors = [
        {"name": t.name, "shape": t.shape, "dtype": t.dtype, "role": t.role, "mutable": t.mutable}
        for t in manifest.tensors
    ]
    return {"kind": "edgetrain manifest", **fields, "methods": methods, "tensors": tensors}


_READERS: dict[Kind, Callable[[Path], dict[str, Any]]] = {
    "checkpoint": _saved_by_torch,
    "program": _program,
    "file of weights": _tensors,
    "manifest": _manifest,
    "history": _history,
    "description of packed data": _description,
    "state of the native runner": describe_native_state,
    "bench report": _report,
}
