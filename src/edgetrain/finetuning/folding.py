"""Putting tuned weights back into a checkpoint for the server."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ..artifacts.manifest import Manifest, check_file, file_record
from ..artifacts.program import Program
from ..artifacts.run_state import load_run
from ..artifacts.transforms import Graph, lasting
from ..errors import InputError
from ..factories import Trusted
from ..models.states import tensors_of
from ..models.transforms import merge_transforms
from ..models.transforms.observers import float_checkpoint
from ..models.trusted import build_trusted_model
from ..runtimes.fitting import targets_of
from .outputs import source_beside, state_path
from .run import Run

_COUNTER = ".num_batches_tracked"


def find_source(program: Program, given: Path | None, trusted: Trusted) -> dict[str, Tensor]:
    """The tensors of the checkpoint that a program was exported from.

    A program holds those that it computes with, under one name each. The rest, as a head that only
    pretraining had or the counters of batch norm, is in the checkpoint alone.

    Args:
        given: the checkpoint; None looks for it beside the program, and goes without where there is nothing
            that it alone has.
    Raises:
        InputError: it is needed and missing, damaged, or another one.
    """
    manifest = program.manifest
    if given is not None:
        return _read(given, manifest)
    beside = source_beside(program.path)
    if beside is not None and manifest.checkpoint == file_record(beside):
        return float_checkpoint(load_checkpoint(beside)).state
    held = _by_name(program, program.tensors())
    model = build_trusted_model(
        manifest.model, trusted, source=str(program.path), transforms=lasting(manifest.transforms)
    )
    if any(isinstance(transform, Graph) for transform in manifest.transforms):
        # No graph reads the counters of batch norm, and no file may have them: they begin anew.
        counters = {name: t for name, t in tensors_of(model).items() if name.endswith(_COUNTER)}
        held = {**counters, **held}
    names = list(tensors_of(model))
    missing = [name for name in names if name not in held]
    if missing:
        wanted = "the checkpoint it was exported from"
        if manifest.checkpoint is not None:
            wanted += f", {manifest.checkpoint.name}"
        raise InputError(
            f"--to-pth: {program.path} does not hold {missing[0]}, which is in {wanted}; put that beside the "
            "program, or name it with --from-pth"
        )
    return {name: held[name] for name in names}


def fold_back(run: Run, source: dict[str, Tensor], path: Path) -> None:
    """Writes the checkpoint: tuned tensors under all their names, the others as in `source`."""
    manifest = run.program.manifest
    # The state has the very weights; a delta may miss them in the last bit.
    tuned = load_run(state_path(run.output)).kept
    by_name = _by_name(run.program, {**run.program.tensors(), **tuned})
    save_checkpoint(
        path,
        Checkpoint(
            model=manifest.model,
            state={name: by_name.get(name, tensor) for name, tensor in source.items()},
            inputs=manifest.inputs,
            targets=targets_of(manifest),
            task=manifest.task,
            metrics=run.history.kept_epoch.model_dump(),
            config=run.history.config,
            transforms=lasting(manifest.transforms),
        ),
    )


def _read(path: Path, manifest: Manifest) -> dict[str, Tensor]:
    if manifest.checkpoint is not None:
        try:
            check_file(path, manifest.checkpoint)
        except InputError as error:
            raise InputError(
                f"{path} is not the checkpoint that {manifest.program.name} was exported from; name that one "
                "with --from-pth"
            ) from error
    state = float_checkpoint(load_checkpoint(path)).state
    stored = manifest.contract.stored
    parameters = {t.name: torch.empty(t.shape, device="meta") for t in stored if t.kind == "parameter"}
    aliases = {tensor.name: tensor.aliases for tensor in stored}
    for name, tensor in merge_transforms(manifest.transforms, parameters).items():
        found = next((state[n] for n in (name, *aliases.get(name, ())) if n in state), None)
        if found is None or found.shape != tensor.shape:
            raise InputError(f"{path} has no {name} as {manifest.program.name} has; name another checkpoint")
    return state


def _by_name(program: Program, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors under all names that the model has for them, as it was before its layers were changed."""
    manifest = program.manifest
    named = {
        name: tensors[record.name]
        for record in manifest.contract.stored
        for name in (record.name, *record.aliases)
    }
    return merge_transforms(manifest.transforms, named)
