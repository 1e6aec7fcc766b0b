"""A .pt2 written anew, with nothing in it but what is known to be data.

torch.export.load unpickles whatever plain data can't be, loads compiled code, evaluates sizes written as
text, runs guards, looks up operators by attributes of the module `torch`, and takes every record below
`models/` for a program. It only gets to read what is written here.
"""

from __future__ import annotations

import json
import re
import tempfile
from typing import IO, Any

from ..artifacts.archive import Archive, write_archive
from ..errors import InputError
from .program_schema import UnsafeProgramError, checked_payloads, checked_program

_MODEL = "models/model.json"
_CONFIGS = {
    "data/weights/model_weights_config.json": ("data/weights/", re.compile(r"weight_\d{1,9}")),
    "data/constants/model_constants_config.json": ("data/constants/", re.compile(r"tensor_\d{1,9}")),
}
# Read, or known and of no use for loading.
_RECORDS = re.compile(
    r"archive_format|archive_version|byteorder|version|\.data/(?:version|serialization_id)|\.format_version"
    r"|\.storage_alignment|models/model\.json|data/sample_inputs/model\.pt|extra/.*"
    r"|data/weights/(?:model_weights_config\.json|weight_\d{1,9})"
    r"|data/constants/(?:model_constants_config\.json|tensor_\d{1,9})"
)
# Bytes of an element by the number that stands for its dtype.
_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2,
    28: 2, 29: 1, 30: 1, 31: 1, 32: 1, 33: 1, 34: 4, 35: 8,
}  # fmt: skip


def rewritten_program(archive: Archive) -> IO[bytes]:
    """The program of an archive as a file of its own, which is gone when it is closed.

    Raises:
        InputError: something in it could run code, or is not known.
    """
    _check_records(archive)
    program = _checked(archive, _MODEL, checked_program)
    records = {
        "archive_format": b"pt2",
        "archive_version": _version(archive),
        "byteorder": b"little",
        ".data/version": b"6\n",
        _MODEL: json.dumps(program).encode(),
        # Nothing that is made of a program needs them.
        "data/sample_inputs/model.pt": b"",
    }
    copied: list[str] = []
    for name, (folder, pattern) in _CONFIGS.items():
        config = _checked(archive, name, checked_payloads)
        records[name] = json.dumps(config).encode()
        for payload in config.get("config", {}).values():
            copied.append(_payload(archive, payload, folder, pattern))
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        write_archive(file, records, (archive, list(dict.fromkeys(copied))))
    except BaseException:
        file.close()
        raise
    return file


def _check_records(archive: Archive) -> None:
    for name in archive.records:
        if name.casefold().startswith("data/aotinductor/"):
            raise InputError(
                f"{archive.path} holds compiled code ({name}); it is refused, with --trust-pickle too"
            )
        if not _RECORDS.fullmatch(name):
            raise _unsafe(archive, f"it has a record {name!r:.80}, which no program needs")
    missing = [name for name in ("archive_format", _MODEL, *_CONFIGS) if name not in archive]
    if missing:
        raise InputError(
            f"{archive.path} has no {missing[0]}; if an older PyTorch wrote it, export the model again"
        )
    if archive.read("archive_format") != b"pt2":
        raise InputError(f"{archive.path} is no exported program: its format is another one")
    if "byteorder" in archive and archive.read("byteorder") != b"little":
        raise InputError(f"{archive.path} was written on a machine with another order of bytes")


def _version(archive: Archive) -> bytes:
    version = archive.read("archive_version") if "archive_version" in archive else b"0"
    if not re.fullmatch(rb"\d{1,9}", version):
        raise InputError(f"{archive.path} is damaged: its version is no number")
    return version


def _checked(archive: Archive, name: str, check: Any) -> Any:
    try:
        return check(json.loads(archive.read(name)))
    except UnsafeProgramError as error:
        raise _unsafe(archive, str(error)) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{archive.path} is damaged: {name} is no JSON") from error


def _payload(archive: Archive, payload: dict[str, Any], folder: str, pattern: re.Pattern[str]) -> str:
    """The record of a tensor, which has to hold all of it."""
    path = str(payload.get("path_name"))
    name = folder + path
    if not pattern.fullmatch(path):
        raise _unsafe(archive, f"it has tensors in {name!r:.80}, which is no record of tensors")
    if name not in archive:
        raise InputError(f"{archive.path} is damaged: its record {name} is missing")
    meta = payload.get("tensor_meta") or {}
    elements = 1
    for size in meta.get("sizes", []):
        elements *= max(int(size.get("as_int", 1)), 0)
    # Of a tensor without bytes PyTorch would allocate whatever size it says.
    if archive.size(name) == 0 and elements:
        raise InputError(f"{archive.path} is damaged: a tensor is larger than what is stored of it")
    if archive.size(name) % _BYTES.get(int(meta.get("dtype", 0)), 1):
        raise InputError(f"{archive.path} is damaged: {name} isn't made of whole numbers")
    return name


def _unsafe(archive: Archive, what: str) -> InputError:
    return InputError(
        f"{archive.path} may run code when it is loaded: {what}; if you trust where it comes from, add "
        "--trust-pickle"
    )
