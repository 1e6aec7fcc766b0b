"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = 1
Group = Literal["loss", "gradients", "steps", "predict"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Compared(_Record):
    """One quantity. Errors are 2-norms of differences, relative to the size of what it is made of."""

    error: float = Field(description="from PyTorch in float64")
    from_float32: float = Field(description="from PyTorch in float32")
    own: float = Field(description="PyTorch's float32 from its float64")
    allowed: float = Field(description="the largest error that isn't wrong")
    right: bool


class RunReport(_Record):
    """Some training steps on one random batch, and what followed, in one runtime."""

    runtime: Literal["executorch", "native"]
    kernels: Literal["fast", "stock"]
    batch_size: int
    steps: int
    groups: dict[Group, dict[str, Compared]] = Field(
        description="loss: loss and metric sums of the first step; gradients: those of the first step, by "
        "parameter; steps: later losses, and how the steps changed every tensor; predict: evaluate and "
        "predict with the weights after the steps"
    )

    @property
    def right(self) -> bool:
        """Whether nothing is wrong."""
        return all(found.right for group in self.groups.values() for found in group.values())

    def worst(self, group: Group) -> tuple[str, Compared] | None:
        """What comes nearest to being wrong, or is; None of nothing."""
        return _worst(self.groups.get(group, {}).items(), group)


def _worst(found: Iterable[tuple[str, Compared]], group: Group) -> tuple[str, Compared] | None:
    """Of steps, only what float32 can tell finely or what is wrong: a change far below the rounding of its
    weight has an error of 1 or much more, PyTorch's too."""
    found = list(found)
    if group == "steps":
        finest = min((compared.allowed for _, compared in found), default=0.0)
        found = [pair for pair in found if pair[1].allowed == finest or not pair[1].right]
    return max(found, key=lambda pair: _badness(pair[1]), default=None)


def _badness(found: Compared) -> float:
    share = found.error / found.allowed
    return share if share == share else float("inf")


class CheckReport(_Record):
    """The whole report."""

    schema_version: int = SCHEMA_VERSION
    model: str
    inputs: dict[str, list[int | str]] = Field(description="shape without batch and dtype, by name")
    task: str
    loss: str
    parameters: int
    batch_norm: Literal["frozen", "train"]
    exports: bool
    reason: str | None = Field(None, description="why it doesn't export, or why a run ended early")
    export_seconds: dict[str, float] = Field(
        default_factory=dict, description="until each station of the export, from the one before"
    )
    operators: list[str] = Field(
        default_factory=list, description="that the program calls, as in aten::mm.out"
    )
    stock_operators: list[str] | None = Field(
        None, description="those of them that run on ExecuTorch's kernels; null where the runner is missing"
    )
    runs: list[RunReport] = Field(default_factory=list)
    step_ms: dict[Literal["torch", "executorch", "native"], float] = Field(
        default_factory=dict, description="median time of a step with the largest batch"
    )
    arena_bytes: dict[str, int] = Field(default_factory=dict, description="planned memory by method")
    notes: list[str] = Field(default_factory=list, description="what was left out, and why")

    @property
    def right(self) -> bool:
        """It exports, and nothing that was run is wrong."""
        return self.exports and self.reason is None and all(run.right for run in self.runs)

    def worst(self, group: Group) -> tuple[str, Compared] | None:
        """As of a run, of all of them."""
        return _worst((pair for run in self.runs for pair in run.groups[group].items()), group)

    @property
    def ratio(self) -> float | None:
        """A step of the native runner (or else of ours in Python) over one of PyTorch, in time."""
        ours = self.step_ms.get("native", self.step_ms.get("executorch"))
        eager = self.step_ms.get("torch")
        return None if ours is None or not eager else ours / eager
