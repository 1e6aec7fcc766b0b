"""What a file holds, found out without running anything from it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import InputError
from .checkpoint import FORMAT as CHECKPOINT_FORMAT
from .checkpoint import load_checkpoint
from .history import load_history
from .kinds import Kind, kind_of
from .manifest import load_manifest, manifest_path
from .program import check_bounds, load_program
from .tensors import read_tensors


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
            f"{path} is no file edgetrain knows (.pth, .pte, .ptd, manifest, history or bench report), "
            "or it is damaged"
        )
    return _READERS[kind](path)


def _program(path: Path) -> dict[str, Any]:
    if not manifest_path(path).is_file():
        check_bounds(path)
        return {"kind": "ExecuTorch program", "bytes": path.stat().st_size, "manifest": "none beside it"}
    program = load_program(path)
    return {**_manifest_fields(program.manifest), "kind": "edgetrain program", "manifest": "matches"}


def _tensors(path: Path) -> dict[str, Any]:
    file = read_tensors(path)
    return {
        "kind": "ExecuTorch tensors",
        "bytes": len(file.data),
        "digest": "matches" if file.digest_offset is not None else "none (not written by edgetrain)",
        "pairing": file.pairing,
        "tensors": [
            {"name": e.name, "shape": list(e.shape), "dtype": e.dtype, "offset": e.offset, "bytes": e.size}
            for e in file.entries.values()
        ],
    }


def _checkpoint(path: Path) -> dict[str, Any]:
    checkpoint = load_checkpoint(path)
    return {
        "kind": CHECKPOINT_FORMAT,
        "model": checkpoint.model.model_dump(mode="json"),
        "input": checkpoint.input.model_dump(mode="json"),
        "task": checkpoint.task.model_dump(mode="json"),
        "preprocessing": checkpoint.preprocessing.model_dump(mode="json"),
        "metrics": checkpoint.metrics,
        "resumable": checkpoint.training is not None,
        "parameters": sum(t.numel() for t in checkpoint.state.values()),
        "tensors": [
            {"name": name, "shape": list(t.shape), "dtype": str(t.dtype).removeprefix("torch.")}
            for name, t in checkpoint.state.items()
        ],
    }


def _manifest(path: Path) -> dict[str, Any]:
    return _manifest_fields(load_manifest(path))


def _history(path: Path) -> dict[str, Any]:
    return {"kind": "edgetrain history", **load_history(path).model_dump(mode="json")}


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
    "checkpoint": _checkpoint,
    "program": _program,
    "file of weights": _tensors,
    "manifest": _manifest,
    "history": _history,
    "bench report": _report,
}
