"""What a file holds, found out without running anything from it."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from ..config.optimizer import OptimizerConfig
from ..errors import InputError
from .checkpoint import FORMAT as CHECKPOINT_FORMAT
from .checkpoint import load_checkpoint
from .contract import Argument, Contract, Method, Role, TensorRecord
from .history import load_history
from .inspect_folder import describe_folder, is_own_checkpoint
from .inspect_foreign import describe_foreign_content
from .inspect_program import describe_program
from .inspect_results import describe_by_name, describe_optimization, describe_report
from .job import load_job
from .kinds import Kind, kind_of
from .manifest import Manifest, load_manifest, manifest_path
from .packed import PackedDataset, description_path, load_description, load_description_of
from .program import load_program
from .run_state import load_run
from .specs import INPUTS, TARGETS
from .tensors import TensorFile, read_tensors
from .transforms import Graph, Transform
from .weights import contents_of

if TYPE_CHECKING:
    import torch


def describe(path: Path) -> dict[str, Any]:
    """Kind and content of any file edgetrain writes, and of others' models and weights, recognised by its
    content; of a folder, of what lies in it.

    Returns:
        `kind`, further fields, and `tensors`: name, shape, dtype, ... of each.
    Raises:
        InputError: damaged, or of no known kind.
    """
    if path.is_dir():
        return describe_folder(path, describe)
    kind = kind_of(path)
    told = describe_by_name(path) if kind is None else None
    if told is not None:
        return told
    if kind is None or (kind == "checkpoint" and not is_own_checkpoint(path)):
        return describe_foreign_content(path)
    return _READERS[kind](path)


def _program(path: Path) -> dict[str, Any]:
    if not manifest_path(path).is_file():
        return {
            "kind": "ExecuTorch program",
            "bytes": path.stat().st_size,
            "manifest": "none beside it",
            **describe_program(path),
        }
    program = load_program(path)
    return {**_manifest_fields(program.manifest), "kind": "edgetrain program", "manifest": "matches"}


def _tensors(path: Path) -> dict[str, Any]:
    file = read_tensors(path, mapped=True)
    contents = contents_of(path, file)
    return {
        "kind": "ExecuTorch tensors",
        "bytes": len(file.data),
        "digest": "matches" if file.digest_offset is not None else "none (not written by edgetrain)",
        **(_packed(path, file) or {"holds": contents.holds, "base_sha256": contents.base}),
        "pairing": file.pairing,
        "tensors": [
            {"name": e.name, "shape": list(e.shape), "dtype": e.dtype, "offset": e.offset, "bytes": e.size}
            for e in file.entries.values()
        ],
    }


def _packed(path: Path, file: TensorFile) -> dict[str, Any]:
    """What else is told of packed data: tensors that a description beside it has, or of the usual names.
    Empty for other tensors."""
    described = load_description_of(path) if _describes_data(description_path(path)) else None
    if described is None and set(file.entries) != {INPUTS, TARGETS}:
        return {}
    lengths = {entry.shape[:1] for entry in file.entries.values()}
    if len(lengths) != 1 or () in lengths:
        return {}
    return {
        "samples": lengths.pop()[0],
        **({} if described is None else _description_fields(described, exclude={"file"})),
        "kind": "packed data set",
        "description": "none beside it" if described is None else "matches",
    }


def _describes_data(path: Path) -> bool:
    """The file beside weights of the same name is a program's manifest."""
    return path.is_file() and kind_of(path) == "description of packed data"


def _description_fields(described: PackedDataset, exclude: set[str] | None = None) -> dict[str, Any]:
    left_out = {"config", "kind", "schema_version", "digest", *(exclude or ())}
    fields = described.model_dump(mode="json", exclude=left_out)
    return {"kind": "description of a packed data set", **fields}


def _checkpoint(path: Path) -> dict[str, Any]:
    checkpoint = load_checkpoint(path)
    targets = None if checkpoint.targets is None else _specs(checkpoint.targets)
    return {
        "kind": CHECKPOINT_FORMAT,
        "model": checkpoint.model.model_dump(mode="json"),
        "transforms": _transforms(checkpoint.transforms),
        "inputs": _specs(checkpoint.inputs),
        "targets": targets,
        "task": checkpoint.task.model_dump(mode="json"),
        "metrics": checkpoint.metrics,
        "resumable": checkpoint.training is not None,
        **(_position(path, checkpoint.training) if checkpoint.training is not None else {}),
        "elements": sum(t.numel() for t in checkpoint.state.values()),
        "tensors": _tensor_rows(checkpoint.state),
    }


def _transforms(transforms: Iterable[Transform]) -> list[dict[str, Any]]:
    """What was done to a model; of a graph, how often it calls what."""
    return [
        _graph(transform) if isinstance(transform, Graph) else transform.model_dump(mode="json")
        for transform in transforms
    ]


def _graph(graph: Graph) -> dict[str, Any]:
    types = {f"layer {path}": layer.type for path, layer in graph.layers.items()}
    calls = Counter(types.get(step.calls, step.calls) for step in graph.steps)
    return {"kind": graph.kind, "inputs": list(graph.inputs), "calls": dict(calls.most_common())}


def _specs(specs: Mapping[str, BaseModel]) -> dict[str, Any]:
    return {name: spec.model_dump(mode="json") for name, spec in specs.items()}


def _position(path: Path, saved: Any) -> dict[str, Any]:
    """Where a training run stood when its state was saved."""
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


def _run_state(path: Path) -> dict[str, Any]:
    run = load_run(path)
    record, settings = run.record, run.record.config
    return {
        "kind": "state of a fine-tuning run",
        "runtime": record.runtime,
        "finished_epochs": record.epoch,
        "batches_since": record.batch,
        "step": record.step,
        "total_steps": record.total_steps,
        "epochs": settings.get("finetune", {}).get("epochs"),
        "optimizer": settings.get("optimizer", {}).get("name"),
        "source": record.source,
        "tensors": _tensor_rows(run.weights),
    }


def _job(path: Path) -> dict[str, Any]:
    return {
        "kind": "fine-tuning job",
        **load_job(path).model_dump(mode="json", exclude={"kind", "schema_version"}),
    }


def _tensor_rows(tensors: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": list(t.shape), "dtype": str(t.dtype).removeprefix("torch.")}
        for name, t in tensors.items()
    ]


def _manifest(path: Path) -> dict[str, Any]:
    return _manifest_fields(load_manifest(path))


def _history(path: Path) -> dict[str, Any]:
    return {"kind": "edgetrain history", **load_history(path).model_dump(mode="json", exclude={"digest"})}


def _description(path: Path) -> dict[str, Any]:
    return _description_fields(load_description(path))


def _manifest_fields(manifest: Manifest) -> dict[str, Any]:
    fields = manifest.model_dump(mode="json", exclude={"contract", "config", "digest"})
    fields["transforms"] = _transforms(manifest.transforms)
    return {"kind": "edgetrain manifest", **fields, **_contract(manifest.contract)}


def _contract(contract: Contract) -> dict[str, Any]:
    """A program's description, with its many gradients and parameters counted."""
    described = contract.model_dump(mode="json", include={"dimensions", "metrics", "best", "splits_batches"})
    described["optimizer"] = None if contract.optimizer is None else _optimizer(contract.optimizer)
    methods = {name: _method(method) for name, method in contract.methods.items()}
    return {**described, "methods": methods, "tensors": [_record(tensor) for tensor in contract.tensors]}


def _method(method: Method) -> dict[str, Any]:
    many: tuple[Role, ...] = ("gradient", "parameter", "buffer", "optimizer_state")
    counted = [role for role in many if method.given(role)]
    return {
        "inputs": [_argument(a) for a in method.inputs],
        "outputs": [_argument(a) for a in method.outputs if a.role not in counted],
        **{f"{role}s": len(method.given(role)) for role in counted},
        "arena_bytes": method.arena_bytes,
        "operators": len(method.operators),
        "memory": None if method.memory is None else method.memory.model_dump(mode="json"),
    }


def _argument(argument: Argument) -> str:
    return f"{argument.name} {argument.shape} {argument.dtype} ({argument.role})"


def _record(tensor: TensorRecord) -> dict[str, Any]:
    """A tensor without what only runtimes need."""
    described = tensor.model_dump(mode="json", include={"name", "shape", "dtype", "kind", "update"})
    part = {} if tensor.of is None else {"of": tensor.of.model_dump(mode="json")}
    return described | part | ({"aliases": tensor.aliases} if tensor.aliases else {})


def _optimizer(config: OptimizerConfig) -> dict[str, Any]:
    """What stands in the graph: the rates of groups do as shares of the learning rate."""
    shares = {pattern: rate / config.lr for pattern, rate in config.groups.items()}
    return {**config.rule, **({"group_shares": shares} if shares else {})}


_READERS: dict[Kind, Callable[[Path], dict[str, Any]]] = {
    "checkpoint": _checkpoint,
    "program": _program,
    "file of weights": _tensors,
    "manifest": _manifest,
    "history": _history,
    "description of packed data": _description,
    "state of a fine-tuning run": _run_state,
    "job": _job,
    "bench report": functools.partial(describe_report, kind="edgetrain bench report"),
    "check report": functools.partial(describe_report, kind="edgetrain check report"),
    "optimization report": describe_optimization,
}
