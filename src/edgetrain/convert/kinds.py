"""What kind of file something is, by its content; nothing in it is executed, and little of it is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..artifacts.archive import Archive, open_archive
from ..artifacts.foreign import (
    EXPORTED,
    INDEX,
    NPZ,
    OLD_MAGIC,
    PICKLE,
    SAVED,
    SCRIPT,
    describe_foreign,
    foreign_format,
    zip_format,
)
from ..artifacts.sharded import index_in, parts_of, pretrained_in
from ..errors import InputError, UsageError
from .pickles import PickleSummary, summarize

Kind = Literal[
    "saved by torch.save",
    "pickle",
    "arrays of numpy",
    "TorchScript",
    "exported program",
    "safetensors",
    "sharded checkpoint",
]

SUFFIXES = (".pt", ".pth", ".pth.tar", ".ptl", ".pt2", ".bin", ".ckpt", ".safetensors")
_KNOWN = "PyTorch checkpoints, TorchScript (.pt, .ptl), exported programs (.pt2), safetensors and .npz"
_MOST_HEADER = 100 * 2**20


@dataclass(frozen=True)
class Identified:
    """A file that is worth opening.

    Attributes:
        archive: its zip directory; None for formats that are none.
        pickle: what its pickle would look up, where it was written by torch.save.
        parts: the files that the weights are in, of a checkpoint in several.
    """

    path: Path
    kind: Kind
    archive: Archive | None = None
    pickle: PickleSummary | None = None
    parts: tuple[Identified, ...] = ()

    @property
    def bytes(self) -> int:
        """On disk, with all parts."""
        return sum(path.stat().st_size for path in [self.path, *(part.path for part in self.parts)])


def identify(path: Path) -> Identified:
    """Finds out what a file is.

    Raises:
        InputError: it is missing, damaged, absurdly large inside, or of no kind that can be converted.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file" if path.exists() else f"{path} does not exist")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    if head[:4] == b"PK\x03\x04":
        return _archive_kind(path)
    if head.startswith(OLD_MAGIC):
        summary = summarize(path.read_bytes(), path, several=True)
        _check_storages(path, summary, path.stat().st_size)
        return Identified(path, "saved by torch.save", pickle=summary)
    if head[4:8] in (b"ET12", b"FT01"):
        raise InputError(f"{path} is a file of ExecuTorch already; {_reads()}")
    if head[8:9] == b"{":
        _check_safetensors(path, int.from_bytes(head[:8], "little"))
        return Identified(path, "safetensors")
    if foreign_format(path) is PICKLE:
        return Identified(path, "pickle", pickle=summarize(path.read_bytes(), path))
    if foreign_format(path) is INDEX:
        return Identified(path, "sharded checkpoint", parts=tuple(map(identify, parts_of(path))))
    known = describe_foreign(path)
    raise InputError(f"{path} {known or 'is of no known kind, or damaged'} ({_reads()})")


def stem_of(path: Path) -> str:
    """The name of a result: without suffix, and of an index that of its parts."""
    name = path.name.removesuffix(".index.json")
    # As PyTorch's own examples name checkpoints, which are no archives.
    return Path(name[:-4] if name.lower().endswith(".pth.tar") else name).stem


def find_files(given: Sequence[Path]) -> list[Path]:
    """The files themselves, and those in folders that look like models by name; not in folders below. Of what
    `save_pretrained` has written, the weights alone; of a checkpoint in several files, its index.

    Raises:
        UsageError: a folder has none.
        InputError: an index is damaged.
    """
    found: list[Path] = []
    for path in given:
        if not path.is_dir():
            found.append(path)
            continue
        pretrained = pretrained_in(path)
        if pretrained is not None:
            found.append(pretrained)
            continue
        inside = sorted(p for p in path.iterdir() if p.is_file() and p.name.lower().endswith(SUFFIXES))
        index = index_in(path)
        if index is not None:
            parts = {part.name for part in parts_of(index)}
            inside = [index, *(p for p in inside if p.name not in parts)]
        if not inside:
            raise UsageError(f"{path} has no files to convert ({', '.join(SUFFIXES)})")
        found += inside
    return list(dict.fromkeys(found))


def _archive_kind(path: Path) -> Identified:
    archive = open_archive(path)
    format = zip_format(archive.records)
    if format is EXPORTED:
        return Identified(path, "exported program", archive)
    if format is SCRIPT:
        return Identified(path, "TorchScript", archive)
    if format is SAVED:
        summary = summarize(archive.read("data.pkl"), path)
        _check_storages(path, summary, sum(info.file_size for info in archive.records.values()))
        return Identified(path, "saved by torch.save", archive, summary)
    if format is NPZ:
        return Identified(path, "arrays of numpy", archive)
    raise InputError(f"{path} {describe_foreign(path)} ({_reads()})")


def _check_storages(path: Path, summary: PickleSummary, size: int) -> None:
    # The smallest elements have one byte.
    if summary.largest_storage > size:
        raise InputError(
            f"{path} asks for a tensor of {summary.largest_storage} elements, but has {size} bytes; it is "
            "refused"
        )


def _check_safetensors(path: Path, length: int) -> None:
    size = path.stat().st_size
    if not 2 <= length <= min(_MOST_HEADER, size - 8):
        raise InputError(f"{path} is of no known kind, or damaged; {_reads()}")
    try:
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is no safetensors file, or a damaged one") from error
    if max(ends, default=0) != size - 8 - length:
        raise InputError(
            f"{path} is cut short or damaged: it should have {8 + length + max(ends, default=0)} bytes, but "
            f"has {size}"
        )


def _reads() -> str:
    return f"convert reads {_KNOWN}"
