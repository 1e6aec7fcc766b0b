"""Shapes of a model's inputs, as a user writes them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

# At most eight lengths of at most seven digits.
_SHAPE = re.compile(r"[1-9]\d{0,6}(,[1-9]\d{0,6}){0,7}(:(float32|int64))?")


def _checked(value: list[str]) -> list[str]:
    for text in value:
        if not _SHAPE.fullmatch(text):
            raise ValueError(f"must be lengths such as 3,32,32 or 16:int64 (got {text!r})")
    return value


InputShapes = Annotated[list[str], AfterValidator(_checked)]
