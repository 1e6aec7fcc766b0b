"""What is in models that were captured with their code: TorchScript and programs of torch.export."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .archive import open_archive
from .nested import Description, nested_tensors, tensor_row

if TYPE_CHECKING:
    from .archive import Archive

# A method of the class itself; its arguments may stand on lines of their own.
_METHOD = re.compile(r"^  def (\w+)\((.*?)\) -> (.*?):$", re.MULTILINE | re.DOTALL)
_SHOWN = 12
# torch._export.serde.schema.ScalarType
_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32", 8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
}  # fmt: skip
_BITS = re.compile(r"\d+$")
_SYMBOL = re.compile(r"Symbol\('(\w+)'[^)]*\)")


def script_content(path: Path, record: str = "data.pkl", folder: str = "data") -> Any:
    """What the module of a TorchScript file holds, or its constants, as stand-ins and tensors.

    Raises:
        InputError: it is damaged.
    """
    from .unpickling.constructors import Constructors
    from .unpickling.machine import DamagedPickleError
    from .unpickling.torch_files import read_archived_pickle

    archive = open_archive(path)
    size = sum(info.file_size for info in archive.records.values())
    try:
        return read_archived_pickle(archive, record, folder, Constructors(size).make)
    except DamagedPickleError as error:
        raise InputError(f"{path} is damaged: {error}") from error


def describe_script(path: Path) -> Description:
    """Class, methods with their arguments, constants and tensors of TorchScript, also for mobile."""
    from .unpickling import stand_ins_in

    archive, content = open_archive(path), script_content(path)
    name = getattr(content, "name", "")
    code = f"code/{name.replace('.', '/').rpartition('/')[0]}.py"
    methods = _methods(_text(archive, code), name.rpartition(".")[2]) if code in archive else {}
    constants = script_content(path, "constants.pkl", "constants") if "constants.pkl" in archive else ()
    fixed = {name: _type(tensor_row("", tensor)) for name, tensor in nested_tensors(constants, "")}
    rows = [tensor_row(name, tensor) for name, tensor in nested_tensors(content, "")]
    return {
        "class": name.removeprefix("__torch__."),
        "functions": methods or None,
        "for_mobile": "bytecode.pkl" in archive,
        "code_version": _text(archive, "version").strip() if "version" in archive else None,
        "layers": dict(
            Counter(found.name.rpartition(".")[2] for found in stand_ins_in(content)).most_common(_SHOWN)
        ),
        **({"constants": fixed} if fixed else {}),
        "elements": sum(prod(row["shape"]) for row in rows),
        "tensors": rows,
    }


def _methods(code: str, name: str) -> dict[str, str]:
    """What each method of a class takes and returns."""
    _, _, body = code.partition(f"class {name}(")
    body = body.partition("\nclass ")[0]
    return {
        method: f"({', '.join(part.strip() for part in arguments.split(',')[1:])}) -> {returned}"
        for method, arguments, returned in _METHOD.findall(body)
    }


def describe_exported(path: Path) -> Description:
    """Inputs, outputs, operators and tensors of a program of torch.export.

    Raises:
        InputError: it has none that can be read.
    """
    archive = open_archive(path)
    models = [name for name in archive.records if name.startswith("models/") and name.endswith(".json")]
    try:
        module = json.loads(archive.read(models[0]))["graph_module"]
        graph, signature = module["graph"], module["signature"]
        values = {name: _meta(meta) for name, meta in graph["tensor_values"].items()}
        operators = Counter(node["target"].removeprefix("torch.ops.") for node in graph["nodes"])
        specs = [next(iter(spec.items())) for spec in signature["input_specs"]]
        inputs = [spec["arg"] for kind, spec in specs if kind == "user_input"]
        outputs = [spec["user_output"]["arg"] for spec in signature["output_specs"] if "user_output" in spec]
        tensors = [
            {"name": spec[f"{kind}_name"], **values[spec["arg"]["name"]]}
            for kind, spec in specs
            if kind in ("parameter", "buffer")
        ]
        return {
            "inputs": dict(_described(arg, values) for arg in inputs),
            "outputs": dict(_described(arg, values) for arg in outputs),
            "operators": dict(operators.most_common(_SHOWN)),
            "version": _text(archive, "archive_version").strip() if "archive_version" in archive else None,
            "elements": sum(prod(row["shape"]) for row in tensors),
            "tensors": [{**row, "bytes": prod(row["shape"]) * _width(row["dtype"])} for row in tensors],
        }
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise InputError(f"{path} has no program of torch.export that can be read") from error


def _described(arg: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    """A tensor by its name in the graph; of anything else its value."""
    kind, value = next(iter(arg.items()))
    if kind == "as_tensor":
        return value["name"], _type(values[value["name"]])
    return kind.removeprefix("as_"), json.dumps(value)


def _meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes that are dynamic are named."""
    sizes = [
        size["as_int"] if "as_int" in size else _SYMBOL.sub(r"\1", size["as_expr"]["expr_str"])
        for size in meta["sizes"]
    ]
    return {"shape": sizes, "dtype": _DTYPES.get(meta["dtype"], "of another dtype")}


def _type(row: Mapping[str, Any]) -> str:
    return f"{row['dtype']} [{', '.join(map(str, row['shape']))}]"


def _width(dtype: str) -> int:
    bits = _BITS.search(dtype)
    return int(bits[0]) // 8 if bits else 1


def _text(archive: Archive, name: str) -> str:
    return archive.read(name).decode(errors="replace")
