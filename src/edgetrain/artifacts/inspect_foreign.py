"""What is in files that edgetrain did not write: names, shapes and dtypes of tensors, methods, operators.

Nothing in them is executed; pickles are read by `unpickling`.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

from ..errors import InputError, as_argument
from .foreign import (
    EXPORTED,
    INDEX,
    NPZ,
    PICKLE,
    SAFETENSORS,
    SAVED,
    SCRIPT,
    Format,
    describe_foreign,
    foreign_format,
)
from .inspect_captured import describe_exported, describe_script
from .nested import Description, is_tensor, nested_tensors, tensor_row
from .sharded import weight_map

_SHOWN = 12
_MOST_ENTRIES = 40
_MOST_HEADER = 100 * 2**20
_SAFETENSORS_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "C64": "complex64",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "BOOL": "bool",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
# Tensors that are no weights of a model, or whose names are lost.
_TENSOR, _TENSORS, _OPTIMIZER = "a tensor", "tensors without names", "the state of an optimizer"
_WITHOUT_NAMES = (_TENSOR, _TENSORS, _OPTIMIZER)
# Bytes of an element.
_WIDTHS = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "complex64": 8, "bool": 1,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2, "uint8": 1,
    "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip


def describe_foreign_content(path: Path) -> Description:
    """Kind and content of a file of another program.

    Raises:
        InputError: it is damaged, or of a kind that is only known by name.
    """
    format = foreign_format(path)
    reader = None if format is None else _READERS.get(format)
    if format is None or reader is None:
        known = describe_foreign(path) or "is no file edgetrain knows, or it is damaged"
        raise InputError(f"{path} {known}")
    found = reader(path)
    # A pickle may hold anything: a vocabulary, settings of a training.
    leads_on = format.is_readable and (
        format not in (SAVED, PICKLE) or (found["tensors"] and found["holds"] not in _WITHOUT_NAMES)
    )
    next_step = {"next": f"edgetrain convert {as_argument(path)}"} if leads_on else {}
    return {"kind": format.what, "bytes": path.stat().st_size, **next_step, **found}


def _saved(path: Path) -> Description:
    from .unpickling import arrays_as_tensors, read_torch_file, stand_ins_in

    content = arrays_as_tensors(read_torch_file(path))
    tensors = [tensor_row(name, tensor) for name, tensor in nested_tensors(content, "")]
    objects = Counter(found.name for found in stand_ins_in(content))
    entries = content if isinstance(content, dict) else {}
    named = {str(key): value for key, value in entries.items() if not is_tensor(value)}
    plain = {key: _short(value) for key, value in islice(named.items(), _MOST_ENTRIES)}
    more = len(named) - len(plain)
    return {
        "holds": _what(content, tensors),
        **({"entries": plain} if plain else {}),
        **({"more_entries": more} if more else {}),
        **({"objects": dict(objects.most_common(_SHOWN))} if objects else {}),
        "elements": sum(prod(row["shape"]) for row in tensors),
        "tensors": tensors,
    }


def _what(content: Any, tensors: Sequence[Description]) -> str:
    """What a pickle holds, in a few words."""
    from .unpickling.stand_ins import Global, StandIn

    if is_tensor(content):
        return _TENSOR
    if isinstance(content, StandIn):
        return f"an object of {content.name}{', a whole module' if content.is_module else ''}"
    if isinstance(content, Global):
        return f"the name {content.name}"
    if isinstance(content, list | tuple):
        nameless = content and all(is_tensor(item) for item in content)
        return _TENSORS if nameless else f"a {type(content).__name__} of {len(content)}"
    if not isinstance(content, dict):
        return "something else"
    if content.keys() == {"state", "param_groups"}:
        return _OPTIMIZER
    if content and all(is_tensor(value) for value in content.values()):
        return "a state_dict"
    return "a checkpoint" if tensors else "a dict"


def _safetensors(path: Path) -> Description:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_MOST_HEADER, path.stat().st_size):
            raise InputError(f"{path} is no safetensors file, or a damaged one")
        header = file.read(length)
    try:
        entries = json.loads(header)
        noted = entries.pop("__metadata__", {})
        tensors = [
            {
                "name": name,
                "shape": entry["shape"],
                "dtype": _SAFETENSORS_DTYPES.get(entry["dtype"], entry["dtype"]),
                "bytes": entry["data_offsets"][1] - entry["data_offsets"][0],
            }
            for name, entry in entries.items()
        ]
        ends = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        elements = sum(prod(row["shape"]) for row in tensors)
        if not all(_is_consistent(row) for row in tensors):
            raise ValueError("a tensor's bytes are not those of its shape")
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is no safetensors file, or a damaged one") from error
    if ends > path.stat().st_size:
        raise InputError(f"{path} is cut short: it should have {ends} bytes, but has {path.stat().st_size}")
    return {**({"metadata": noted} if noted else {}), "elements": elements, "tensors": tensors}


def _is_consistent(row: Mapping[str, Any]) -> bool:
    """Whether a tensor has as many bytes as its shape says; of dtypes that are new, it isn't known."""
    width = _WIDTHS.get(row["dtype"])
    whole = all(isinstance(length, int) and length >= 0 for length in row["shape"])
    return whole and (width is None or row["bytes"] == prod(row["shape"]) * width)


def _index(path: Path) -> Description:
    """What the parts hold, with the part that each tensor is in."""
    parts = Counter(weight_map(path).values())
    missing = [part for part in parts if not (path.parent / part).is_file()]
    tensors = [
        {**row, "file": part}
        for part in parts
        if part not in missing
        for row in describe_foreign_content(path.parent / part)["tensors"]
    ]
    return {
        "files": dict(parts),
        **({"missing": missing} if missing else {}),
        "elements": sum(prod(row["shape"]) for row in tensors),
        "tensors": tensors,
    }


def _arrays(path: Path) -> Description:
    import numpy as np

    tensors = []
    try:
        with zipfile.ZipFile(path) as file:
            for info in file.infolist():
                with file.open(info) as record:
                    major, _ = np.lib.format.read_magic(record)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if major == 1
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, dtype = read(record)
                row = {"shape": list(shape), "dtype": str(dtype), "bytes": prod(shape) * dtype.itemsize}
                tensors.append({"name": info.filename.removesuffix(".npy"), **row})
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path} is no file of NumPy arrays that can be read ({error})") from error
    return {"tensors": tensors}


_READERS: dict[Format, Callable[[Path], Description]] = {
    SAVED: _saved,
    PICKLE: _saved,
    SCRIPT: describe_script,
    EXPORTED: describe_exported,
    SAFETENSORS: _safetensors,
    INDEX: _index,
    NPZ: _arrays,
}


def _short(value: Any) -> Any:
    """What stands for a value where it is only mentioned."""
    name = getattr(value, "name", None)
    if name is not None:
        return f"an object of {name}"
    if isinstance(value, dict | list | tuple | set):
        return f"a {type(value).__name__} of {len(value)}"
    text = repr(value)
    return (
        value
        if isinstance(value, int | float | bool | None)
        else text
        if len(text) < 60
        else text[:57] + "..."
    )
