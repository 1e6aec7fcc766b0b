"""What lives when while a method runs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from ...artifacts.memory import MOST_STRETCHES, MOST_TENSORS, Kind, MemoryRecord, Stretch, TensorAtPeak
from ...reporting import megabytes
from .placement import Interval, live_bytes

# In the order of a chart, from what is there longest.
KINDS: dict[Kind, str] = {
    "input": "inputs",
    "saved": "saved for backward",
    "gradient": "gradients",
    "temporary": "temporaries",
}


@dataclass(frozen=True)
class Step:
    """One operator that runs.

    Attributes:
        operator: as in `convolution`.
        module: of the model, as in `features.0 (Conv2d)`; empty where it isn't known.
    """

    operator: str
    module: str

    def __str__(self) -> str:
        return f"{self.operator} of {self.module}" if self.module else self.operator


@dataclass(frozen=True)
class LiveTensor:
    """A tensor in the arena.

    Attributes:
        maker: the operator that makes it; the name of an input.
        shape: at the largest batch.
        bytes: of its place, together with what else is made in that place while it lives.
        first: step at which it begins to live.
        last: step at which it is needed last.
    """

    maker: Step
    kind: Kind
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    first: int
    last: int

    @property
    def record(self) -> TensorAtPeak:
        """As a manifest tells it."""
        return TensorAtPeak(
            maker=str(self.maker), kind=self.kind, shape=list(self.shape), dtype=self.dtype, bytes=self.bytes
        )


@dataclass(frozen=True)
class MemoryTimeline:
    """What lives in a method's arena of activations.

    Attributes:
        steps: operators in the order they run.
        tensors: all that ever lives in the arena, by the step it begins to.
        bound: what no arena for this order of operators can be smaller than [bytes].
        arena: as planned [bytes].
    """

    method: str
    steps: tuple[Step, ...]
    tensors: tuple[LiveTensor, ...]
    bound: int
    arena: int

    @cached_property
    def live(self) -> list[int]:
        """Bytes that live during each step."""
        return self.live_of_kind(*KINDS)

    def live_of_kind(self, *kinds: Kind) -> list[int]:
        """Bytes of some kinds that live during each step."""
        chosen = [Interval(t.first, t.last, t.bytes) for t in self.tensors if t.kind in kinds]
        live = live_bytes(chosen)
        return live + [0] * (len(self.steps) - len(live))

    @property
    def peak(self) -> int:
        """The first step at which most bytes live."""
        return max(range(len(self.live)), key=self.live.__getitem__, default=0)

    @property
    def at_peak(self) -> list[LiveTensor]:
        """What lives at the peak, largest first."""
        found = [tensor for tensor in self.tensors if tensor.first <= self.peak <= tensor.last]
        return sorted(found, key=lambda tensor: -tensor.bytes)

    def with_inputs_named(self, names: Mapping[str, str]) -> MemoryTimeline:
        """The same with other names for inputs, by those they have here."""
        tensors = [
            replace(tensor, maker=Step(names.get(tensor.maker.operator, tensor.maker.operator), ""))
            if tensor.kind == "input"
            else tensor
            for tensor in self.tensors
        ]
        return replace(self, tensors=tuple(tensors))

    @property
    def waste(self) -> float:
        """How much larger than the bound the arena is, as a share of the bound."""
        return self.arena / self.bound - 1 if self.bound else 0.0


def describe(timeline: MemoryTimeline) -> str:
    """One sentence: what is planned, how far from the least possible, and where the peak is."""
    text = (
        f"{timeline.method}: {megabytes(timeline.arena)} planned for activations, the least for its order of "
        f"operators {megabytes(timeline.bound)} ({100 * timeline.waste:.1f} % wasted)"
    )
    return f"{text}; peak at {timeline.steps[timeline.peak]}" if timeline.steps else text


def record_of(timeline: MemoryTimeline) -> MemoryRecord:
    """What a manifest tells of a method's memory."""
    count = len(timeline.steps)
    parts = min(count, MOST_STRETCHES)
    cuts = [count * i // parts for i in range(parts + 1)] if parts else [0]
    tops = [max(range(a, b), key=timeline.live.__getitem__) for a, b in itertools.pairwise(cuts)]
    return MemoryRecord(
        bound=timeline.bound,
        peak=str(timeline.steps[timeline.peak]) if count else "",
        tensors=[tensor.record for tensor in timeline.at_peak[:MOST_TENSORS]],
        stretches=[Stretch(operator=str(timeline.steps[at]), bytes=timeline.live[at]) for at in tops],
    )
