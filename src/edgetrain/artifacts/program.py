"""NAME.pte: the program with its manifest, and tuned weights in a finished one."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, UsageError
from ..upstream.files import read_program, write_program
from .atomic import write_bytes
from .commit import recover
from .manifest import (
    Manifest,
    check_file,
    file_record,
    load_manifest,
    manifest_path,
    save_manifest,
    tensors_pairing,
)
from .temporary import scratch_folder
from .tensors import TensorFile, WeightsContent, read_tensors, replace_tensors
from .weights import complete, contents_of, first_difference, read_exported, save_partial

if TYPE_CHECKING:
    import torch

WEIGHTS_ARENA = 2  # the planned buffer of mutable weights; 1 holds activations, 0 is reserved
_MAGIC = b"ET12"
_HEADER_MAGIC = b"eh00"
_HEADER = struct.Struct("<4sIQQQ")  # magic, length, program size, segment base offset, segments' size
_HEADER_OFFSET = 8


@dataclass(frozen=True)
class Program:
    """A checked program and the weights it runs with.

    Attributes:
        weights_path: the .ptd, None where the weights are inside the program.
        weights: all of them, also where the .ptd holds less; None where they are inside the program.
        is_whole: whether the .ptd holds all of them.
    """

    path: Path
    manifest: Manifest
    weights_path: Path | None
    weights: TensorFile | None
    is_whole: bool = True

    def tensors(self) -> dict[str, torch.Tensor]:
        """Copies of all parameters and buffers, by name."""
        if self.weights is not None:
            return self.weights.tensors()
        return _inline_tensors(self.path.read_bytes(), self.manifest)

    def save(self, path: Path, tensors: dict[str, torch.Tensor], content: WeightsContent = "full") -> None:
        """Writes new values of some tensors as a .ptd for this program, or, with inline weights, as a copy of
        the program and its manifest. Atomic.

        Args:
            content: what the .ptd holds: all weights, those that training changes, or by how much these
                differ from the program's own.
        """
        if self.weights is None:
            _save_inline(self, path, tensors)
        elif content == "full":
            replace_tensors(self.weights, path, tensors)
        else:
            save_partial(path, {**self.tensors(), **tensors}, content, self.exported, self.manifest)

    def check_savable(self, content: WeightsContent) -> None:
        """Finds out beforehand whether `save` can write such a file.

        Raises:
            UsageError: it can't.
        """
        if content == "full":
            return
        if self.weights is None:
            raise UsageError(
                f"{self.path} carries its weights inside and is saved as a whole; leave --save {content} out"
            )
        other = first_difference(self.weights, self.exported, self.manifest)
        if other is not None:
            raise UsageError(
                f"--save {content} leaves out {other}, which {self.weights_path} has another of than "
                f"{self.path} was exported with; use --save full"
            )

    @cached_property
    def exported(self) -> TensorFile:
        """The weights it was exported with, where these are in a .ptd."""
        return read_exported(self.path, self.manifest)

    @contextmanager
    def full_weights(self) -> Iterator[Path | None]:
        """A .ptd with all weights: `weights_path`, or a temporary file where that one holds less; None where
        they are inside the program."""
        if self.weights is None or self.weights_path is None or self.is_whole:
            yield self.weights_path
            return
        with scratch_folder() as folder:
            path = folder / self.weights_path.name
            write_bytes(path, bytes(self.weights.data))
            yield path


def load_program(path: Path, weights: Path | None = None) -> Program:
    """Checks a program, its manifest and its weights against each other; runs nothing.

    Args:
        path: NAME.pte, with NAME.json beside it.
        weights: a .ptd to use instead of the one the program was exported with.
    Raises:
        InputError: something is missing, damaged, or belongs to another program.
    """
    recover(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist; export a program first: edgetrain export model.pth")
    beside = manifest_path(path)
    if not beside.is_file():
        raise InputError(f"{path} has no manifest {beside.name} beside it; copy it along or export again")
    manifest = load_manifest(beside)
    check_file(path, manifest.program)
    if path.read_bytes()[4:8] != _MAGIC:
        raise InputError(f"{path} is no ExecuTorch program")
    if manifest.weights is None:
        if weights is not None:
            raise InputError(
                f"{path} carries its weights inside; --weights needs a program exported without them"
            )
        return Program(path, manifest, None, None)
    if weights is None:
        weights = path.parent / Path(manifest.weights.name).name
        check_file(weights, manifest.weights)
    tensors = read_tensors(weights)
    if contents_of(weights, tensors).holds != "full":
        whole = complete(weights, tensors, read_exported(path, manifest), manifest)
        return Program(path, manifest, weights, whole, is_whole=False)
    check_pairing(weights, tensors, manifest)
    return Program(path, manifest, weights, tensors)


def check_bounds(path: Path) -> None:
    """Checks that a .pte that nothing else is known about is as long as its header says.

    Raises:
        InputError: it is cut short.
    """
    data = path.read_bytes()
    if len(data) < _HEADER_OFFSET + _HEADER.size:
        raise InputError(f"{path} is cut short; copy or export it again")
    magic, length, program_bytes, base, segment_bytes = _HEADER.unpack_from(data, _HEADER_OFFSET)
    if magic != _HEADER_MAGIC:
        return
    needed = max(program_bytes, base + (segment_bytes if length >= _HEADER.size else 0))
    if len(data) < needed:
        raise InputError(f"{path} should have {needed} bytes, but has {len(data)}; copy or export it again")


def check_pairing(path: Path, weights: TensorFile, manifest: Manifest) -> None:
    """Checks that a .ptd has the tensors a program needs, no other ones, in the same layout.

    Raises:
        InputError: naming the first difference.
    """
    if weights.pairing == manifest.pairing == tensors_pairing(manifest.contract.stored):
        return
    expected = {t.name: (tuple(t.shape), t.dtype) for t in manifest.contract.stored}
    found = {e.name: (e.shape, e.dtype) for e in weights.entries.values()}
    differences = [
        *(f"{name} is missing" for name in expected.keys() - found.keys()),
        *(f"{name} is not part of the program" for name in found.keys() - expected.keys()),
        *(
            f"{name} is {list(found[name][0])} {found[name][1]}, the program's is "
            f"{list(expected[name][0])} {expected[name][1]}"
            for name in expected.keys() & found.keys()
            if expected[name] != found[name]
        ),
    ]
    what = min(differences) if differences else "its manifest was changed"
    raise InputError(f"{path} belongs to another program than {manifest.program.name}: {what}")


def locate_inline(program: bytes, frozen: dict[str, torch.Tensor]) -> dict[str, int]:
    """Finds which constant of the program each frozen tensor became, by its bytes."""
    # Constants are padded to their alignment.
    constants = [bytes(buffer.storage) for buffer in deserialize(program).program.constant_buffer]

    def find(tensor: torch.Tensor) -> int:
        raw = tensor.contiguous().numpy().tobytes()
        return next(i for i, constant in enumerate(constants) if constant.startswith(raw))

    return {name: find(tensor) for name, tensor in frozen.items()}


def _inline_tensors(program: bytes, manifest: Manifest) -> dict[str, torch.Tensor]:
    import torch

    file = deserialize(program)
    places = {offset: index for offset, (_, index) in _weight_values(file).items()}
    tensors = {}
    for record in manifest.contract.stored:
        if record.arena_offset is not None:
            raw = bytes(file.mutable_data[places[record.arena_offset]].storage)
        elif record.constant_index is not None:
            raw = bytes(file.program.constant_buffer[record.constant_index].storage)
        else:
            raise InputError(
                f"the manifest does not say where {record.name} lies in the program; export again"
            )
        dtype = getattr(torch, record.dtype)
        size = int(torch.Size(record.shape).numel()) * dtype.itemsize
        tensors[record.name] = torch.frombuffer(bytearray(raw[:size]), dtype=dtype).reshape(record.shape)
    return tensors


def _save_inline(program: Program, path: Path, tensors: dict[str, torch.Tensor]) -> None:
    from executorch.exir.schema import Buffer

    file = deserialize(program.path.read_bytes())
    offsets = {t.name: t.arena_offset for t in program.manifest.contract.changing}
    values = _weight_values(file)
    users = Counter(index for _, index in values.values())
    for name, tensor in tensors.items():
        offset = offsets.get(name)
        if offset is None or offset not in values:
            raise InputError(f"{name} is no tensor that {program.path} can change")
        buffer = Buffer(storage=tensor.detach().cpu().contiguous().numpy().tobytes())
        sharing, index = values[offset]
        if users[index] == 1:
            file.mutable_data[index] = buffer
            continue
        # Weights that were equal at export share their bytes; each gets its own before it is changed.
        users[index] -= 1
        file.mutable_data.append(buffer)
        for value in sharing:
            value.data_buffer_idx = len(file.mutable_data) - 1
    write_bytes(path, write_program(file))
    manifest = program.manifest.model_copy(update={"program": file_record(path)})
    save_manifest(manifest_path(path), manifest)


def _weight_values(file: Any) -> dict[int, tuple[list[Any], int]]:
    """Arena offset → (that weight's tensor value in every method, index of its initial bytes)."""
    found: dict[int, tuple[list[Any], int]] = {}
    for plan in file.program.execution_plan:
        for value in plan.values:
            place = getattr(value.val, "allocation_info", None)
            if place is None or place.memory_id != WEIGHTS_ARENA or value.val.data_buffer_idx == 0:
                continue
            offset = place.memory_offset_low + (place.memory_offset_high << 32)
            values, index = found.setdefault(offset, ([], value.val.data_buffer_idx))
            values.append(value.val)
            assert index == value.val.data_buffer_idx
    return found


def deserialize(program: bytes) -> Any:
    try:
        return read_program(program)
    except Exception as error:  # flatc and the header's checks raise many types
        raise InputError(f"the program is damaged: {str(error).splitlines()[0]}") from error
