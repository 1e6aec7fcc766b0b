"""A TorchScript file written anew: its code checked, its values looked through, nothing else in it.

Loading one runs code of it (`__setstate__`), and in its pickles tensors may be larger than what is stored of
them, which PyTorch doesn't check. It only gets to read what is written here.
"""

from __future__ import annotations

import io
import pickletools
import re
import tempfile
from typing import IO, Any

from ..artifacts.archive import Archive, write_archive
from ..artifacts.unpickling import DamagedPickleError, StandIn
from ..artifacts.unpickling.constructors import Constructors
from ..artifacts.unpickling.torch_files import read_archived_pickle
from ..errors import InputError
from .script_code import UnsafeScriptError, rewritten_code

_CODE = re.compile(r"code/(?:\w+/)*\w+\.py", re.ASCII)
_TENSORS = re.compile(r"(?:data|constants)/\d{1,20}(?:\.storage)?")
_VERSIONS = ("version", ".data/version")
# Known and of no use here: bytecode, for one, is for PyTorch Mobile, which has an interpreter of its own.
_LEFT_OUT = re.compile(
    r"code/.+\.debug_pkl|bytecode\.pkl|mobile_debug_handles\.pkl|byteorder|extra/.*|\.data/.*"
    r"|\.format_version|\.storage_alignment|bytecode/.*|traced_inputs(?:\.pkl|/.*)"
)
_PICKLES = {"data.pkl": "data", "constants.pkl": "constants"}
# All that PyTorch's own pickler for scripts writes.
_OPERATIONS = {
    "PROTO", "STOP", "MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT",
    "APPEND", "APPENDS", "LIST", "DICT", "SETITEM", "SETITEMS", "NONE", "NEWTRUE", "NEWFALSE", "BININT",
    "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "BINPUT",
    "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE", "BUILD", "NEWOBJ", "BINPERSID", "POP",
}  # fmt: skip
_NAMES = re.compile(
    r"torch\._utils\._rebuild_(?:tensor|tensor_v2)|torch\.\w+Storage|collections\.OrderedDict|torch\.device"
    r"|torch\.jit\._pickle\.(?:build_\w+list|build_tensor_from_id|restore_type_tag)|builtins\.complex"
    r"|__torch__(?:\.\w+)+",
    re.ASCII,
)


def rewritten_script(archive: Archive) -> IO[bytes]:
    """The script of an archive as a file of its own, which is gone when it is closed.

    Raises:
        InputError: it does what a model has no need for, or is damaged.
    """
    _check_records(archive)
    try:
        with archive.kept_open():
            files = {name: archive.read(name) for name in archive.records if _CODE.fullmatch(name)}
        code = rewritten_code(files)
        pickles = {name: _checked_pickle(archive, name, folder) for name, folder in _PICKLES.items()}
    except (UnsafeScriptError, DamagedPickleError) as error:
        raise InputError(f"{archive.path} is refused: {error}") from error
    versions = {name: archive.read(name) for name in _VERSIONS if name in archive}
    if not all(re.fullmatch(rb"\d{1,9}\s*", version) for version in versions.values()):
        raise InputError(f"{archive.path} is damaged: its version is no number")
    file = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        tensors = [name for name in archive.records if _TENSORS.fullmatch(name)]
        write_archive(file, {**versions, "byteorder": b"little", **code, **pickles}, (archive, tensors))
    except BaseException:
        file.close()
        raise
    return file


def _check_records(archive: Archive) -> None:
    for name in archive.records:
        known = name in _PICKLES or name in _VERSIONS
        if not known and not any(p.fullmatch(name) for p in (_CODE, _TENSORS, _LEFT_OUT)):
            raise InputError(
                f"{archive.path} is refused: it has a record {name!r:.80}, which no TorchScript needs"
            )
    missing = [name for name in _PICKLES if name not in archive]
    if missing:
        raise InputError(
            f"{archive.path} has no {missing[0]}: it was written by a PyTorch that is too old, or damaged; "
            "save it again with a newer one"
        )
    if "byteorder" in archive and archive.read("byteorder") != b"little":
        raise InputError(f"{archive.path} was written on a machine with another order of bytes")


def _checked_pickle(archive: Archive, name: str, folder: str) -> bytes:
    """A pickle that PyTorch may read: no names but those of scripts, no tensors but those that are there."""
    content = archive.read(name)
    try:
        for opcode, argument, _ in pickletools.genops(io.BytesIO(content)):
            if opcode.name not in _OPERATIONS:
                raise DamagedPickleError(f"its {name} has the operation {opcode.name}")
            if opcode.name == "GLOBAL" and not _NAMES.fullmatch(str(argument).replace(" ", ".", 1)):
                raise DamagedPickleError(f"its {name} names {str(argument)!r:.80}")
            if opcode.name == "GLOBAL" and str(argument).startswith("__torch__.torch.classes"):
                raise DamagedPickleError(f"its {name} names {str(argument)!r:.80}")
    except (ValueError, IndexError) as error:
        if isinstance(error, DamagedPickleError):
            raise
        raise DamagedPickleError(f"its {name} is damaged ({error})") from error
    read_archived_pickle(archive, name, folder, _Script(archive).make)
    return content


class _Script:
    """Tensors as they are; objects of the script's classes as stand-ins."""

    def __init__(self, archive: Archive) -> None:
        self._constructors = Constructors(sum(info.file_size for info in archive.records.values()))

    def make(self, name: str, args: tuple[Any, ...]) -> Any:
        if name.startswith("torch.jit._pickle.") and len(args) >= 1:
            # A list, and a text that says of what.
            return args[0]
        if name.startswith("__torch__."):
            return StandIn(name, args)
        return self._constructors.make(name, args)
