"""JSON documents with a digest of themselves, so that no change of one goes unnoticed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from pydantic import BaseModel

from ..errors import InputError
from .atomic import write_text

# Text that its model writes with an empty digest, which is at the beginning.
_PLACE = re.compile(r'"digest": ?"([0-9a-f]*)"')
_BLANK = "0" * 64
DIGEST = "SHA-256 of this file as it is with 64 zeros in this place"


def write_sealed(path: Path, document: BaseModel) -> None:
    """Writes a document that has a field `digest`, which is empty, atomically."""
    write_text(path, sealed(document.model_dump_json(indent=2) + "\n"))


def sealed(text: str) -> str:
    """The text with the digest that it should have in place of its first."""
    blank = _with_digest(text, _BLANK)
    return _with_digest(blank, hashlib.sha256(blank.encode()).hexdigest())


def check_seal(text: str, path: Path) -> None:
    """Compares a document with its digest.

    Raises:
        InputError: it isn't as it was written.
    """
    if _PLACE.search(text) is None or sealed(text) != text:
        raise InputError(
            f"{path} was changed after it was written, or is damaged (its digest is another); copy it again, "
            "or make it anew"
        )


def _with_digest(text: str, digest: str) -> str:
    return _PLACE.sub(f'"digest": "{digest}"', text, count=1)
