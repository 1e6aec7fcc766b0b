"""What a method's planned memory is made of, as its manifest tells it, and a chart of it in text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..reporting import megabytes

# How much of a method's memory a manifest tells, which has to stay small.
MOST_STRETCHES = 24
MOST_TENSORS = 12

Kind = Literal["input", "saved", "gradient", "temporary"]
Bytes = Annotated[int, Field(ge=0)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Stretch(_Record):
    """Some operators that run one after the other.

    Attributes:
        operator: the one of them at which most lives, and the module it is from.
        bytes: that live then.
    """

    operator: str
    bytes: Bytes


class TensorAtPeak(_Record):
    """A tensor that lives where most does.

    Attributes:
        maker: the operator that made it, and the module this is from; the name of an input.
        shape: at the largest batch.
    """

    maker: str
    kind: Kind
    shape: list[int]
    dtype: str
    bytes: Bytes

    def __str__(self) -> str:
        lengths = "x".join(map(str, self.shape)) or "scalar"
        return f"{megabytes(self.bytes)} {lengths} {self.dtype}, {self.maker} ({self.kind})"


class MemoryRecord(_Record):
    """What lives in a method's arena of activations while it runs.

    Attributes:
        bound: what no arena for its order of operators can be smaller than, which is what lives at the peak
            [bytes].
        peak: the operator at the peak, and the module it is from.
        tensors: the largest of those that live there.
        stretches: all operators in the order they run, in parts of about equal length.
    """

    bound: Bytes
    peak: str
    tensors: list[TensorAtPeak] = Field(max_length=MOST_TENSORS)
    stretches: list[Stretch] = Field(max_length=MOST_STRETCHES)


def chart(stretches: Sequence[Stretch], width: int = 100) -> list[str]:
    """Memory over the time a method runs: a bar for each stretch, and `◀` at the peak.

    Args:
        width: columns of a line, at least 60.
    """
    names = [_cut(stretch.operator, width // 2) for stretch in stretches]
    longest = max(map(len, names), default=0)
    room = width - longest - 17
    most = max((stretch.bytes for stretch in stretches), default=0)
    peak = next((at for at, stretch in enumerate(stretches) if stretch.bytes == most), None)
    return [
        f"{name:<{longest}} {megabytes(stretch.bytes):>12} "
        f"{'█' * round(room * stretch.bytes / max(most, 1))}{' ◀' if at == peak else ''}".rstrip()
        for at, (name, stretch) in enumerate(zip(names, stretches, strict=True))
    ]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
