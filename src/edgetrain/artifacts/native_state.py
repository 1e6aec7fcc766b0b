"""tuned.state: what the native runner resumes from. Written and used by the runner; only told about here."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

from ..errors import InputError

MAGIC = b"ETSTATE1"
_DIGEST_BYTES = 32
_LENGTH = struct.Struct("<Q")


def describe_native_state(path: Path) -> dict[str, Any]:
    """Where the run stood, and the names of what training had changed.

    The file is a magic, pairs of (name, bytes), each with its length in front, and a SHA-256 of all that; see
    `native/src/state_file.cpp`. Numbers are little-endian, as on every machine the runner is built for.

    Raises:
        InputError: it is damaged.
    """
    data = path.read_bytes()
    body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if not body.startswith(MAGIC) or hashlib.sha256(body).digest() != digest:
        raise InputError(f"{path} is damaged: it is no whole state of a fine-tuning run")
    try:
        entries = _entries(body)
        numbers = {
            name: _LENGTH.unpack(entries[name])[0] for name in ("epoch", "batch", "step", "total_steps")
        }
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no complete state of a fine-tuning run ({error})") from error
    return {
        "kind": "fine-tuning state",
        "runtime": "native",
        "finished_epochs": numbers["epoch"],
        "batches_since": numbers["batch"],
        "step": numbers["step"],
        "total_steps": numbers["total_steps"],
        "program_sha256": entries.get("identity:the program", b"").decode(),
        "optimizer": entries.get("identity:--optimizer", b"").decode(),
        "tensors": [
            {"name": name.removeprefix("tensor:"), "bytes": len(value)}
            for name, value in entries.items()
            if name.startswith("tensor:")
        ],
    }


def _entries(body: bytes) -> dict[str, bytes]:
    parts, at = [], len(MAGIC)
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        parts.append(body[at : at + length])
        at += length
    return {name.decode(): value for name, value in zip(parts[::2], parts[1::2], strict=False)}
