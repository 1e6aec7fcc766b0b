"""Arrays of a `.npz`, each compared with what its record holds before there is memory for it."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import psutil
from numpy.lib import format as npy

from ..errors import InputError

# Numbers deflate to a half, masks to a fiftieth; bombs unpack to a thousand times their size.
_MOST_INFLATION = 100
_SMALL = 2**30


def read_npz(path: Path, wanted: Collection[str] | None = None) -> tuple[dict[str, np.ndarray], list[str]]:
    """Reads arrays without executing anything.

    Args:
        wanted: their names, of which the file may lack some; None: all.
    Returns:
        those that are wanted and there; and the names of all in the file.
    Raises:
        InputError: the file is damaged or no .npz, has arrays of Python objects, shapes that its records
            don't hold, or more numbers than fit into memory.
    """
    try:
        with zipfile.ZipFile(path) as file:
            records = {info.filename.removesuffix(".npy"): info for info in file.infolist()}
            chosen = {n: info for n, info in records.items() if wanted is None or n in wanted}
            for name, info in chosen.items():
                _check_header(file, info, f"{path}: '{name}'")
            _check_size(path, sum(info.file_size for info in chosen.values()))
            arrays = {}
            for name, info in chosen.items():
                with file.open(info) as record:
                    arrays[name] = npy.read_array(record, allow_pickle=False)
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{path} unpacks to more than there is memory for; save fewer samples") from error
    except Exception as error:  # a damaged file makes zipfile and numpy raise errors of all kinds
        raise InputError(f"{path} is damaged or no plain .npz file ({error})") from error
    return arrays, list(records)


def _check_header(file: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> None:
    with file.open(info) as record:
        version = npy.read_magic(record)
        if version not in ((1, 0), (2, 0)):  # the third is for names of fields
            raise InputError(f"{what} is no array of plain numbers; save it with numpy.savez")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(record)
        start = record.tell()
    if dtype.hasobject:
        raise ValueError(f"'{info.filename}' holds Python objects")
    claimed, held = math.prod(shape) * dtype.itemsize, info.file_size - start
    if min(shape, default=0) < 0 or claimed != held:
        sizes = "x".join(map(str, shape)) or "scalar"
        raise InputError(
            f"{what} claims to be {dtype} {sizes}, {claimed:,} bytes, but the file holds {held:,} of it; "
            "it is damaged, save it again"
        )


def _check_size(path: Path, unpacked: int) -> None:
    memory, stored = psutil.virtual_memory().total, path.stat().st_size
    if unpacked > memory:
        raise InputError(
            f"{path} unpacks to {unpacked:,} bytes, more than the {memory:,} of this machine's memory; save "
            "fewer or smaller samples"
        )
    if unpacked > max(_SMALL, _MOST_INFLATION * stored):
        raise InputError(
            f"{path} of {stored:,} bytes would unpack to {unpacked:,} and is refused; if that is meant, save "
            "it with numpy.savez, which doesn't compress"
        )
