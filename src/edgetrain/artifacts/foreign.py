"""Files that edgetrain did not write, told by their first bytes: what they are, and what to do with them.

Nothing is unpacked or executed, and names are believed only where a format has no mark of its own (ONNX).
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from ..errors import as_argument


@dataclass(frozen=True)
class Format:
    """A format, as in "FILE is WHAT; WAY_OUT".

    Attributes:
        is_readable: `edgetrain convert` reads it.
    """

    what: str
    way_out: str
    is_readable: bool = False


def _unpack(what: str, command: str) -> Format:
    return Format(what, f"unpack it first, with {command}")


_ORIGIN = "take the PyTorch checkpoint it was made from"
PNG = Format("an image (PNG)", "")
SVG = Format("an image (SVG)", "")
EXECUTABLE = Format("an executable file or a library", "")
_GZIP = _unpack("compressed by gzip", "'gunzip' or 'tar -xzf'")
# By what a file begins with.
_HEADS: tuple[tuple[bytes, Format], ...] = (
    (b"GGUF", Format("a GGUF model, quantized for llama.cpp", _ORIGIN)),
    (b"ggml", Format("a GGML model, for llama.cpp", _ORIGIN)),
    (
        b"\x89HDF\r\n\x1a\n",
        Format("an HDF5 file, as Keras writes them", "read it with h5py, and save the arrays as safetensors"),
    ),
    (b"\x1f\x8b", _GZIP),
    (b"BZh", _unpack("compressed by bzip2", "'bunzip2' or 'tar -xjf'")),
    (b"\xfd7zXZ\x00", _unpack("compressed by xz", "'unxz' or 'tar -xJf'")),
    (b"\x28\xb5\x2f\xfd", _unpack("compressed by zstd", "'unzstd' or 'tar --zstd -xf'")),
    (b"7z\xbc\xaf\x27\x1c", _unpack("a 7z archive", "'7z x'")),
    (b"Rar!", _unpack("a RAR archive", "'unrar x'")),
    (
        b"version https://git-lfs",
        Format("a Git LFS pointer, a note in place of the file itself", "fetch the file with 'git lfs pull'"),
    ),
    (b"\x93NUMPY", Format("one NumPy array", "save weights as safetensors, with the names they have")),
    (b"%PDF", Format("a PDF document", "")),
    (b"\x89PNG", PNG),
    (b"\x7fELF", EXECUTABLE),
    (b"\xff\xd8\xff", Format("an image (JPEG)", "")),
)
_TFLITE = Format("a TensorFlow Lite model", "such a program can't be trained; " + _ORIGIN)
_ONNX = Format("an ONNX model", _ORIGIN + ", or make it a PyTorch model with the package onnx2torch")
HTML = Format("a web page, perhaps one that says why a download failed", "download the file again")
_TAR = _unpack("a tar archive", "'tar -xf'")
EMPTY = Format("an empty file", "download or save it again")
DAMAGED = Format("a damaged zip file", "download or copy it again")
NPZ = Format(
    "a file of NumPy arrays (.npz)",
    "as data: --data arrays --data-dir FILE; as weights: edgetrain convert FILE --model NAME",
)
_KERAS = Format("a Keras model", "save its weights as safetensors, and build the model in PyTorch")
_PACKAGE = Format(
    "a package of torch.package, which is code",
    "load its model with torch.package.PackageImporter, where you trust it, and save model.state_dict()",
)
_ZIP = Format("a zip file without a model in it", "unpack it, or name another")
# What `inspect_foreign` reads.
INDEX = Format("the index of a checkpoint in several files", "", is_readable=True)
SCRIPT = Format("a TorchScript model", "", is_readable=True)
EXPORTED = Format("a program of torch.export", "", is_readable=True)
SAVED = Format("a file of torch.save", "", is_readable=True)
SAFETENSORS = Format("a file of safetensors", "", is_readable=True)
# torch.save before PyTorch 1.6 begins with this number as a pickle.
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
PICKLE = Format("a Python pickle that torch.save did not write", "", is_readable=True)


def foreign_format(path: Path) -> Format | None:
    """What a file is; None where that can't be told.

    Raises:
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if not head:
        return EMPTY
    for start, format in _HEADS:
        if head.startswith(start):
            return format
    if head.startswith(b"PK\x03\x04"):
        return _in_zip(path)
    if head.startswith(OLD_MAGIC):
        return SAVED
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return PICKLE
    if head[4:8] == b"TFL3":
        return _TFLITE
    if head[257:262] == b"ustar":
        return _TAR
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<!doctype svg")) or (text.startswith(b"<?xml") and b"<svg" in text):
        return SVG
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        return HTML
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return SAFETENSORS
    if text.startswith(b"{"):
        return _in_json(path)
    if path.suffix == ".onnx" or _is_onnx(head):
        return _ONNX
    return None


def describe_foreign(path: Path, *, needed: str = "", to: str = "") -> str | None:
    """As "is a GGUF model ...; take ...", for a sentence that begins with the path; or None.

    Args:
        needed: what a file is needed for, said between the two.
        to: how `convert` makes such a file, as in " --to pth".
    """
    format = foreign_format(path)
    if format is None:
        return None
    way_out = (
        f"bring it over first: edgetrain convert {as_argument(path)}{to}"
        if format.is_readable
        else format.way_out
    )
    return "; ".join(part for part in (f"is {format.what}", needed, way_out) if part)


def _in_zip(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as file:
            names = [name.split("/", 1)[-1] for name in file.namelist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return DAMAGED
    return zip_format(names)


def zip_format(names: Collection[str]) -> Format:
    """What a zip file is, by its records, without the folder that all of them lie in."""
    if "constants.pkl" in names or "bytecode.pkl" in names:
        return SCRIPT
    if any(name.endswith(".data/extern_modules") for name in names):
        return _PACKAGE
    if "archive_format" in names or any(name.endswith("model.json") for name in names):
        return EXPORTED
    if "data.pkl" in names:
        return SAVED
    if any(name.endswith(".npy") for name in names):
        return NPZ
    return _KERAS if any(name.endswith(".weights.h5") for name in names) else _ZIP


def _in_json(path: Path) -> Format | None:
    try:
        found = json.loads(path.read_text())
    except (ValueError, RecursionError):
        return None
    return INDEX if isinstance(found, dict) and "weight_map" in found else None


def _is_onnx(head: bytes) -> bool:
    """A protobuf message that begins with a small `ir_version` and goes on with a field of ModelProto."""
    return len(head) > 3 and head[0] == 0x08 and 1 <= head[1] <= 20 and head[2] in b"\x12\x1a\x22\x32\x3a\x42"
