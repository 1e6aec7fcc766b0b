"""`edgetrain inspect`."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..errors import InputError
from .command import Invocation
from .console import plain
from .inspect_two import inspect_two
from .tables import Table
from .text import number_text

if TYPE_CHECKING:
    from pydantic import BaseModel

M = TypeVar("M", bound="BaseModel")

# A terminal has these columns at least.
_WIDTH = 80
# Lists that are shown as tables, by what has them.
_TABLES = {
    "edgetrain bench report": ["results"],
    "edgetrain history": ["epochs"],
    "edgetrain optimization report": ["steps"],
}
# Of many layers, as many are named.
_SHOWN = 3


def inspect(
    run: Invocation,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="any file edgetrain writes or reads, models and weights of others, folders",
        ),
    ],
    other: Annotated[
        Path | None,
        typer.Argument(metavar="OTHER", help="a second file of tensors, to compare the first one with"),
    ] = None,
) -> None:
    for path in [file, *([] if other is None else [other])]:
        if not path.exists():
            raise InputError(f"{path} does not exist")
    if other is not None:
        inspect_two(run, file, other)
        return
    from ..artifacts.inspect import describe

    description = plain(describe(file))
    table, *further = _tables(str(file), description)
    run.output.result(table, {"command": "inspect", "file": file, **description}, *further)


def _tables(file: str, description: Mapping[str, Any]) -> Iterator[Table]:
    """A report as its command shows it, of anything else a row for each field."""
    kind = description.get("kind", "unknown")
    if kind == "edgetrain check report":
        from ..checking.report import CheckReport
        from .check import result_table

        report = _report(CheckReport, file, description)
        yield result_table(f"{file}: {kind}, {report.model}", report)
        return
    lists = {key: description[key] for key in _TABLES.get(kind, ()) if description.get(key)}
    rest = {key: value for key, value in description.items() if key not in lists}
    yield Table(f"{file}: {kind}", list(_rows(rest)), below=_memory_lines(description))
    if kind == "edgetrain bench report":
        from ..bench.report import BenchReport
        from .bench import result_tables

        _report(BenchReport, file, description)
        yield from result_tables("results", lists.get("results", []))
    elif lists:
        yield from (_records(key, records) for key, records in lists.items())


def _report(model: type[M], file: str, description: Mapping[str, Any]) -> M:
    """Raises:
    InputError: it is not as its command wrote it.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate({k: v for k, v in description.items() if k in model.model_fields})
    except ValidationError as error:
        raise InputError(
            f"{file} is damaged, or a report that another edgetrain wrote; run its command again"
        ) from error


def _records(title: str, records: Sequence[Mapping[str, Any]]) -> Table:
    """A column for each field that any of the records has."""
    columns = [key for key in records[0] if any(record.get(key) is not None for record in records)]
    rows = [["–" if r.get(c) is None else number_text(r[c], 4) for c in columns] for r in records]
    return Table(title, rows, [column.replace("_", " ") for column in columns])


def _memory_lines(description: Mapping[str, Any]) -> list[str]:
    """What lives in a program's memory over a step, where that is told."""
    from ..artifacts.memory import MemoryRecord, chart

    told = description.get("methods", {}).get("train", {}).get("memory")
    if told is None:
        return []
    memory = MemoryRecord.model_validate(told)
    return [
        "  train, what lives as it runs:",
        "",
        *(f"  {line}" for line in chart(memory.stretches, _WIDTH - 2)),
        "",
        f"  at the peak, {memory.peak}:",
        "",
        *(f"  {tensor}" for tensor in memory.tensors),
    ]


def _rows(description: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in description.items():
        if name in ("kind", "tensors"):
            continue
        yield from _value_rows(name.replace("_", " "), value)
    for tensor in description.get("tensors", ()):
        details = {key: value for key, value in tensor.items() if key not in ("name", "shape", "dtype")}
        extras = "  ".join(f"{key}={_compact(value)}" for key, value in details.items())
        yield (
            str(tensor.get("name")),
            f"{tensor.get('dtype', '')} {_compact(tensor.get('shape'))}  {extras}".strip(),
        )


def _value_rows(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Mappings are unfolded into rows of their own, one level after the other; of the memory, which the chart
    shows, there is the bound."""
    if name == "transforms" and value:
        yield from _transform_rows(value)
    elif name.endswith(".memory") and value is not None:
        yield f"{name}.bound", _compact(value["bound"])
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _value_rows(f"{name}.{key}", item)
    else:
        yield name, _compact(value)


def _transform_rows(transforms: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What a graph calls how often; of other kinds how many there are, and of what."""
    for kind, group in itertools.groupby(transforms, key=lambda transform: transform["kind"]):
        records = list(group)
        name = f"transforms.{kind}"
        if kind == "graph":
            calls = records[0]["calls"]
            yield (
                name,
                ", ".join(f"{count} {called.removeprefix('aten.')}" for called, count in calls.items()),
            )
        else:
            of = [str(r[key]) for r in records for key in ("module", "tensor", "convolution") if key in r]
            more = ", ..." if len(of) > _SHOWN else ""
            yield name, f"{len(records)}: {', '.join(of[:_SHOWN])}{more}" if of else str(len(records))


def _compact(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
