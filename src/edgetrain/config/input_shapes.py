"""Shapes of a model's inputs, as a user writes them."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

# At most eight lengths of at most seven digits.
_LENGTHS = r"[1-9]\d{0,6}(,[1-9]\d{0,6}){0,7}"
_SHAPE = re.compile(rf"{_LENGTHS}(:(float32|int64))?")
_NAMED_SHAPE = re.compile(
    rf"([A-Za-z_]\w*(\.\d)?=)?{_LENGTHS}(:(float32|float64|int64|int32|int16|int8|uint8|bool))?"
)


def _checked(value: list[str]) -> list[str]:
    for text in value:
        if not _SHAPE.fullmatch(text):
            raise ValueError(
                f"must be lengths such as 3,32,32 or 16:int64 (got {text!r}); a program that trains "
                "takes float32 and int64: have the model turn a mask into bool, and give a number for each "
                "sample the length 1"
            )
    return value


def _checked_names(value: list[str]) -> list[str]:
    for text in value:
        if not _NAMED_SHAPE.fullmatch(text):
            raise ValueError(
                f"must be lengths such as 3,32,32, 16:int64, 3,32,32:uint8 or mask=16:bool (got {text!r})"
            )
    names = [text.partition("=")[0] for text in value if "=" in text]
    if names and len(set(names)) < len(value):
        raise ValueError("must name all inputs, each by another name, or none")
    return value


InputShapes = Annotated[list[str], AfterValidator(_checked)]
# Also with names, of the parts of a tuple with their places, and with dtypes that no training program takes.
NamedInputShapes = Annotated[list[str], AfterValidator(_checked_names)]
