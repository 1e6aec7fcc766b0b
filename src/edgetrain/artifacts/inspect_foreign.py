"""What is in files that edgetrain did not write: names, shapes and dtypes of tensors, methods, operators.

Nothing in them is executed; pickles are read by `unpickling`.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .archive import open_archive
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

if TYPE_CHECKING:
    from .archive import Archive

Description = dict[str, Any]
_METHOD = re.compile(r"^  def (\w+)\(", re.MULTILINE)
_SHOWN = 12
_MOST_HEADER = 100 * 2**20


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
    next_step = {"next": f"edgetrain convert {path}"} if format.is_readable else {}
    return {"kind": format.what, "bytes": path.stat().st_size, **next_step, **reader(path)}


def _saved(path: Path) -> Description:
    from .unpickling import arrays_as_tensors, read_torch_file, stand_ins_in
    from .unpickling.stand_ins import Global, StandIn

    content = arrays_as_tensors(read_torch_file(path))
    tensors = [_row(name, tensor) for name, tensor in nested_tensors(content, "")]
    objects = Counter(found.name for found in stand_ins_in(content))
    holds = "something else"
    if isinstance(content, StandIn):
        holds = f"an object of {content.name}{', a whole module' if content.is_module else ''}"
    elif isinstance(content, Global):
        holds = f"the name {content.name}"
    elif isinstance(content, dict):
        direct = [value for value in content.values() if _is_tensor(value)]
        holds = (
            "a state_dict"
            if direct and len(direct) == len(content)
            else "a checkpoint"
            if tensors
            else "a dict"
        )
    elif isinstance(content, list | tuple):
        holds = f"a {type(content).__name__} of {len(content)}"
    entries = content if isinstance(content, dict) else {}
    plain = {str(key): _short(value) for key, value in entries.items() if not _is_tensor(value)}
    return {
        "holds": holds,
        **({"entries": plain} if plain else {}),
        **({"objects": dict(objects.most_common(_SHOWN))} if objects else {}),
        "parameters": sum(row["elements"] for row in tensors),
        "tensors": [{key: row[key] for key in row if key != "elements"} for row in tensors],
    }


def script_content(path: Path) -> Any:
    """What the module of a TorchScript file holds, as stand-ins and tensors.

    Raises:
        InputError: it is damaged.
    """
    from .unpickling.constructors import Constructors
    from .unpickling.machine import DamagedPickleError
    from .unpickling.torch_files import read_archived_pickle

    archive = open_archive(path)
    size = sum(info.file_size for info in archive.records.values())
    try:
        return read_archived_pickle(archive, "data.pkl", "data", Constructors(size).make)
    except DamagedPickleError as error:
        raise InputError(f"{path} is damaged: {error}") from error


def _script(path: Path) -> Description:
    from .unpickling import stand_ins_in

    archive, content = open_archive(path), script_content(path)
    tensors = [_row(name, tensor) for name, tensor in nested_tensors(content, "")]
    name = getattr(content, "name", "")
    code = f"code/{name.replace('.', '/').rpartition('/')[0]}.py"
    methods = _METHOD.findall(_text(archive, code)) if code in archive else []
    return {
        "class": name.removeprefix("__torch__."),
        "functions": methods or None,
        "for_mobile": "bytecode.pkl" in archive,
        "code_version": _text(archive, "version").strip() if "version" in archive else None,
        "layers": dict(
            Counter(found.name.rpartition(".")[2] for found in stand_ins_in(content)).most_common(_SHOWN)
        ),
        "parameters": sum(row["elements"] for row in tensors),
        "tensors": [{key: row[key] for key in row if key != "elements"} for row in tensors],
    }


def _exported(path: Path) -> Description:
    archive = open_archive(path)
    models = [name for name in archive.records if name.startswith("models/") and name.endswith(".json")]
    try:
        program = json.loads(archive.read(models[0]))["graph_module"]["graph"]
        operators = Counter(node["target"].removeprefix("torch.ops.") for node in program["nodes"])
        values = program["tensor_values"]
        inputs = [next(iter(v.values()))["name"] for v in program["inputs"] if isinstance(v, dict)]
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise InputError(f"{path} has no program of torch.export that can be read") from error
    return {
        "values": len(values),
        "inputs": inputs[-_SHOWN:],
        "operators": dict(operators.most_common(_SHOWN)),
        "version": _text(archive, "archive_version").strip() if "archive_version" in archive else None,
    }


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
                "dtype": entry["dtype"],
                "bytes": entry["data_offsets"][1] - entry["data_offsets"][0],
            }
            for name, entry in entries.items()
        ]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is no safetensors file, or a damaged one") from error
    return {**({"metadata": noted} if noted else {}), "tensors": tensors}


def _index(path: Path) -> Description:
    parts = Counter(str(part) for part in json.loads(path.read_text())["weight_map"].values())
    missing = [part for part in parts if not (path.parent / part).is_file()]
    return {"files": dict(parts), **({"missing": missing} if missing else {})}


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
                name = info.filename.removesuffix(".npy")
                tensors.append({"name": name, "shape": list(shape), "dtype": str(dtype)})
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(f"{path} is no file of NumPy arrays that can be read ({error})") from error
    return {"tensors": tensors}


_READERS: dict[Format, Callable[[Path], Description]] = {
    SAVED: _saved,
    PICKLE: _saved,
    SCRIPT: _script,
    EXPORTED: _exported,
    SAFETENSORS: _safetensors,
    INDEX: _index,
    NPZ: _arrays,
}


def nested_tensors(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """All tensors of nested data, each once, with where they are."""
    from .unpickling.stand_ins import StandIn

    waiting, seen = [(name, value)], set()
    while waiting:
        name, value = waiting.pop()
        if _is_tensor(value):
            yield name, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        items: list[tuple[Any, Any]] = []
        if isinstance(value, dict):
            items = list(value.items())
        elif isinstance(value, list | tuple):
            items = list(enumerate(value))
        elif isinstance(value, StandIn):
            items = list(value.attributes.items()) or [("", value.state), *enumerate(value.args)]
        waiting += [(f"{name}.{key}".strip("."), item) for key, item in reversed(items)]


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _row(name: str, tensor: Any) -> dict[str, Any]:
    return {
        "name": name or "(the tensor)",
        "shape": list(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "elements": tensor.numel(),
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


def _text(archive: Archive, name: str) -> str:
    return archive.read(name).decode(errors="replace")
