"""Two files of tensors, whoever wrote them: names, shapes, dtypes, and how far their numbers are apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .foreign import INDEX, NPZ, PICKLE, SAFETENSORS, SAVED, SCRIPT, Format, describe_foreign, foreign_format
from .kinds import kind_of
from .sharded import parts_of, weights_in
from .tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

# Of a name, in front of those that the other file has.
_MOST_PARTS = 3


def compare_tensors(first: Path, second: Path) -> dict[str, Any]:
    """What two files have in common. Tensors belong together by name; what one file has in front of its
    names, as checkpoints have around a state_dict, is taken off.

    Returns:
        names that one of them lacks, tensors of other shapes, how many are equal, and the others with their
        largest difference, also in units of the first one's largest number, the farthest first.
    Raises:
        InputError: one is damaged, or of a kind whose tensors aren't read.
    """
    a, b = tensors_in(first), tensors_in(second)
    prefix_a, prefix_b = _prefixes(a, b)
    a, b = _without(a, prefix_a), _without(b, prefix_b)
    shared = [name for name in a if name in b]
    shapes = [name for name in shared if a[name].shape != b[name].shape]
    differing = [_difference(name, a[name], b[name]) for name in shared if name not in shapes]
    changed = [row for row in differing if row["largest"] != 0 or row["dtypes"][0] != row["dtypes"][1]]
    return {
        "left_off": {str(path): prefix for path, prefix in ((first, prefix_a), (second, prefix_b)) if prefix},
        "only_in_first": [name for name in a if name not in b],
        "only_in_second": [name for name in b if name not in a],
        "other_shapes": {name: [list(a[name].shape), list(b[name].shape)] for name in shapes},
        "equal": len(differing) - len(changed),
        "differing": sorted(changed, key=lambda row: -_order(row["relative"])),
    }


def tensors_in(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name.

    Raises:
        InputError: see `compare_tensors`.
    """
    if path.is_dir():
        weights = weights_in(path)
        if weights is None:
            raise InputError(f"{path} is a folder without one model in it; name a file in it")
        return tensors_in(weights)
    try:
        if kind_of(path) == "file of weights":
            return read_tensors(path).tensors()
        format = foreign_format(path)
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    reader = None if format is None else _READERS.get(format)
    if reader is None:
        known = describe_foreign(path) or "is no file with tensors that edgetrain knows, or it is damaged"
        raise InputError(
            f"{path} {known}; inspect compares files of torch.save, TorchScript, safetensors, .npz and .ptd"
        )
    return reader(path)


def _saved(path: Path) -> dict[str, Tensor]:
    from .nested import nested_tensors
    from .unpickling import arrays_as_tensors, read_torch_file

    return dict(nested_tensors(arrays_as_tensors(read_torch_file(path)), ""))


def _script(path: Path) -> dict[str, Tensor]:
    from .inspect_captured import script_content
    from .nested import nested_tensors

    return dict(nested_tensors(script_content(path), ""))


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        found: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no safetensors file, or a damaged one ({error})") from error
    return found


def _index(path: Path) -> dict[str, Tensor]:
    return {name: tensor for part in parts_of(path) for name, tensor in tensors_in(part).items()}


def _arrays(path: Path) -> dict[str, Tensor]:
    import torch

    from .npz import read_npz

    try:
        return {name: torch.from_numpy(array) for name, array in read_npz(path)[0].items()}
    except (TypeError, ValueError) as error:  # of text, or of numbers in another byte order
        raise InputError(f"{path} is no .npz of numbers ({error})") from error


_READERS: dict[Format, Callable[[Path], dict[str, Tensor]]] = {
    SAVED: _saved,
    PICKLE: _saved,
    SCRIPT: _script,
    SAFETENSORS: _safetensors,
    INDEX: _index,
    NPZ: _arrays,
}


def _prefixes(a: Collection[str], b: Collection[str]) -> tuple[str, str]:
    """What is taken off the names of either file, so that most of them meet; as little as that takes."""
    pairs = [(x, y) for x in _beginnings(a) for y in _beginnings(b)]
    pairs.sort(key=lambda pair: len(pair[0]) + len(pair[1]))
    return max(pairs, key=lambda pair: len(_stripped(a, pair[0]) & _stripped(b, pair[1])))


def _stripped(names: Iterable[str], prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in names if name.startswith(prefix)}


def _beginnings(names: Iterable[str]) -> list[str]:
    """What most names begin with: nothing, and one to three parts of them."""
    found, left, prefix = [""], list(names), ""
    for _ in range(_MOST_PARTS):
        counts = Counter(name.partition(".")[0] for name in left if "." in name)
        if not counts:
            break
        first = counts.most_common(1)[0][0] + "."
        prefix += first
        left = [name.removeprefix(first) for name in left if name.startswith(first)]
        found.append(prefix)
    return found


def _without(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}


def _difference(name: str, a: Tensor, b: Tensor) -> dict[str, Any]:
    import torch

    dtypes = [str(tensor.dtype).removeprefix("torch.") for tensor in (a, b)]
    wide = torch.complex128 if a.is_complex() or b.is_complex() else torch.float64
    x, y = a.detach().to(wide), b.detach().to(wide)
    same = (x == y) | (x.isnan() & y.isnan())
    # Where both are the same infinity, their difference is no number.
    distances = torch.where(same, torch.zeros_like(x), x - y).abs()
    largest = distances.max().item() if distances.numel() else 0.0
    scale = x.abs().max().item() if x.numel() else 0.0
    relative = largest / scale if scale and not math.isnan(scale) else largest
    return {"name": name, "shape": list(a.shape), "dtypes": dtypes, "largest": largest, "relative": relative}


def _order(value: float) -> float:
    return math.inf if math.isnan(value) else value
