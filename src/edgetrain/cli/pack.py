"""`edgetrain pack`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .command import Invocation
from .tables import Table
from .text import file_text, number_text


def pack(
    run: Invocation,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.ptd",
            help="packed data to write, with a description beside it [dim]\\[default: DATA.SPLIT.ptd][/dim]",
        ),
    ] = None,
) -> None:
    data, split = run.config.data, run.config.pack.split
    path = output or Path(f"{data.name}.{split}.ptd")
    _check_name(path)
    from ..data import packing

    run.claim(
        list(packing.output_files(path).items()),
        inputs=_read_files(data),
        explicit=output is not None,
    )
    packed = packing.pack_dataset(data, split, path, run.reporter)
    description = packing.description_path(path)
    run.output.result(
        Table(f"packed the {split} split of {data.name}", list(_rows(path, description, packed))),
        {
            "command": "pack",
            "packed": path,
            "description_path": description,
            "description": json.loads(description.read_text()),
        },
    )


def _check_name(path: Path) -> None:
    if path.suffix != ".ptd":
        raise UsageError(f"packed data is a .ptd file; name an output that ends in .ptd, not {path}")
    program = path.with_suffix(".pte")
    if program.exists():
        raise UsageError(f"{path} is the place of {program}'s weights; name another output with -o")


def _read_files(data: Any) -> list[Path]:
    """Packed files in a folder that is read; a file that is read is known to `claim` already."""
    from_folder = data.name == "arrays" and data.root is not None and data.root.is_dir()
    return sorted(data.root.glob("*.ptd")) if from_folder else []


def _rows(path: Path, description: Path, packed: Any) -> Iterator[tuple[str, Any]]:
    yield "data", file_text(path)
    yield "description", file_text(description)
    yield "samples", f"{packed.samples:,}"
    for name, stored in packed.inputs.items():
        yield _called("inputs", name), f"{stored.dtype} {stored.shape}"
    for name, stored in packed.targets.items():
        yield _called("targets", name), f"{stored.dtype} {stored.shape}"
    yield "classes", len(packed.classes) if packed.classes else packed.outputs
    for name, stored in packed.inputs.items():
        if stored.dtype != "int64":
            yield _called("usually normalised with", name), _preprocessing(stored.preprocessing)
    yield "usual augmentation, not in the file", _augmentation(packed.augmentation)


def _called(what: str, name: str) -> str:
    """What a row says, and of which tensor, where somebody named it."""
    from ..artifacts.specs import INPUTS, TARGETS

    return what if name in (INPUTS, TARGETS) else f"{what}: {name}"


def _preprocessing(used: Any) -> str:
    mean, std = (", ".join(map(number_text, values)) for values in (used.mean, used.std))
    return f"scale {number_text(used.scale)}, mean {mean}, std {std}"


def _augmentation(usual: Any) -> str:
    flips = ["mirrors images"] if usual.flip else []
    crops = [f"moves images (up to {usual.crop_padding} px)"] if usual.crop_padding else []
    return ", ".join(flips + crops) or "none"
