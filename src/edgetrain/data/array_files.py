"""Arrays by name from a .npz or .safetensors file; nothing in it is executed."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..artifacts.npz import read_npz
from ..config.names import ROOTS
from ..errors import InputError

# Of files that hold samples as arrays, packed ones included.
ARRAY_SUFFIXES = (".npz", ".safetensors", ".ptd")


def read_array_file(path: Path, wanted: Collection[str]) -> tuple[dict[str, Tensor], list[str]]:
    """Reads the arrays that are wanted and there.

    Returns:
        them, as bool, uint8, integers or floating-point numbers; and the names of all arrays in the file.
    Raises:
        InputError: the file is missing, damaged, of another kind, or what is wanted holds Python objects.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file; --data-dir names {ROOTS['arrays']}")
    if path.suffix == ".npz":
        arrays, names = read_npz(path, wanted)
        return {name: _from_numpy(array, name, path) for name, array in arrays.items()}, names
    if path.suffix == ".safetensors":
        return _read_safetensors(path, wanted)
    raise InputError(
        f"{path} is neither .npz, .safetensors nor .ptd; save it with numpy.savez or safetensors, or make it "
        "with edgetrain pack"
    )


def _from_numpy(array: np.ndarray, name: str, path: Path) -> Tensor:
    """Numbers of any width and byte order as uint8, int64, float32 or bool."""
    wide = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}.get(array.dtype.kind)
    if wide is None:
        raise InputError(f"{path}: '{name}' holds {array.dtype}, not numbers")
    with np.errstate(over="ignore"):
        return torch.from_numpy(
            np.array(array, dtype=np.uint8 if array.dtype == np.uint8 else wide, order="C")
        )


def _read_safetensors(path: Path, wanted: Collection[str]) -> tuple[dict[str, Tensor], list[str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            return {name: file.get_tensor(name) for name in names if name in wanted}, names
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"{path} is damaged or no .safetensors file ({error})") from error
