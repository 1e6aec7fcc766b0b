"""Files of weights that hold less than all of a program's: those that training changes, or by how much it
changed them. The rest comes from the .ptd the program was exported with, which they name by its hash."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .manifest import Manifest, check_file
from .temporary import scratch_folder
from .tensors import Contents, TensorFile, WeightsContent, read_tensors, replace_tensors, write_tensors

if TYPE_CHECKING:
    import torch


def contents_of(path: Path, file: TensorFile) -> Contents:
    """What a .ptd says it holds.

    Raises:
        InputError: it says nothing that can be understood.
    """
    try:
        return file.contents
    except ValueError as error:
        raise InputError(f"{path} does not say what it holds; export or fine-tune again") from error


def read_exported(program: Path, manifest: Manifest) -> TensorFile:
    """The weights a program was exported with, from the .ptd beside it.

    Raises:
        InputError: missing, or not those of the manifest.
    """
    assert manifest.weights is not None
    path = program.parent / Path(manifest.weights.name).name
    check_file(path, manifest.weights)
    return read_tensors(path)


def complete(path: Path, partial: TensorFile, exported: TensorFile, manifest: Manifest) -> TensorFile:
    """All weights, of a file that holds less.

    Args:
        path: where `partial` was read from, for messages.
        exported: the weights the program was exported with.
    Raises:
        InputError: the file belongs to other weights.
    """
    assert manifest.weights is not None
    contents = contents_of(path, partial)
    if contents.base != manifest.weights.sha256:
        raise InputError(
            f"{path} goes with other weights than {manifest.weights.name} (SHA-256); take the program it was "
            "tuned from"
        )
    expected = {t.name: (tuple(t.shape), t.dtype) for t in manifest.contract.changing}
    found = {e.name: (e.shape, e.dtype) for e in partial.entries.values()}
    if found != expected:
        wrong = min(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
        raise InputError(f"{path} belongs to another program than {manifest.program.name}: see {wrong}")
    tensors = partial.tensors()
    if contents.holds == "delta":
        tensors = {name: exported.tensor(name) + change for name, change in tensors.items()}
    with scratch_folder() as folder:
        whole = folder / path.name
        replace_tensors(exported, whole, tensors)
        return read_tensors(whole)


def save_partial(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    content: WeightsContent,
    exported: TensorFile,
    manifest: Manifest,
) -> None:
    """Writes all that training changes, or by how much it did. Atomic.

    Args:
        tensors: all weights, or those that change.
        exported: the weights the program was exported with.
    """
    assert manifest.weights is not None
    kept = {t.name: tensors[t.name] for t in manifest.contract.changing}
    if content == "delta":
        kept = {name: tensor - exported.tensor(name) for name, tensor in kept.items()}
    write_tensors(path, kept, contents=Contents(holds=content, base=manifest.weights.sha256))


def first_difference(weights: TensorFile, exported: TensorFile, manifest: Manifest) -> str | None:
    """The first tensor that training leaves alone and that is not as it was exported; None where all are."""
    changing = {t.name for t in manifest.contract.changing}

    def raw(file: TensorFile, name: str) -> bytes:
        entry = file.entries[name]
        return bytes(file.data[entry.offset : entry.offset + entry.size])

    fixed = (name for name in exported.entries if name not in changing)
    return next((name for name in fixed if raw(weights, name) != raw(exported, name)), None)
