"""The stations between a model and its program, each a record that the next is made of:

    Captured → Joint → Edge → Lowered → Written → Verified

Each is made by one function in a file of its own: `capture`, `joint`, `edge`, `lowering`, `writing`,
`verification`. A `Recipe` says what kind of program it becomes.

Graphs are handed on, not copied, since they are as large as the model: a step may rewrite those of the record
it is given, and nobody uses that record afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executorch.exir import EdgeProgramManager
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..artifacts.checkpoint import Checkpoint
from ..artifacts.contract import Argument
from ..artifacts.manifest import Verification
from ..artifacts.program import Program
from ..config.stages import ExportCommand, ExportConfig
from ..tasks import Task

Graphs = dict[str, ExportedProgram]


@dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes:
        module: the model, in PyTorch.
        source: what is known about it; its state is not used.
        path: the checkpoint's file, where it is one of edgetrain's.
        origin: where the model comes from, for messages.
    """

    module: nn.Module
    task: Task
    source: Checkpoint
    config: ExportCommand
    origin: str
    path: Path | None = None

    @property
    def settings(self) -> ExportConfig:
        """How it is exported."""
        return self.config.export


@dataclass(frozen=True)
class Signature:
    """What a method takes and gives, in order."""

    inputs: list[Argument]
    outputs: list[Argument]


@dataclass(frozen=True)
class Captured:
    """Forward graphs by method, over tensors named as in the model's state_dict.

    Attributes:
        signatures: of the methods that a contract is written for.
    """

    graphs: Graphs
    signatures: dict[str, Signature]


@dataclass(frozen=True)
class Joint:
    """The graphs of all methods; `train` has its backward graph.

    Attributes:
        trainable: parameters that `train` returns gradients of, in its order.
        mutated: buffers that `train` writes.
    """

    graphs: Graphs
    signatures: dict[str, Signature]
    trainable: list[str]
    mutated: list[str]


# What stands between `Joint` and `Edge`.
Step = Callable[[Joint], Joint]


@dataclass(frozen=True)
class Edge:
    """The graphs in edge dialect.

    Attributes:
        tensors: parameters and buffers that they read, by name.
    """

    joint: Joint
    manager: EdgeProgramManager
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Lowered:
    """A program ready to be written.

    Attributes:
        edge: what it was made of.
        program: the bytes of the .pte.
        arena_bytes: planned memory by method, one size per arena: activations, weights.
        operators: operators each method calls, as the runtime names them.
        weight_offsets: where each changing tensor lies in the weights' arena [bytes].
    """

    edge: Edge
    program: bytes
    arena_bytes: dict[str, list[int]]
    operators: dict[str, list[str]]
    weight_offsets: dict[str, int]


@dataclass(frozen=True)
class Written:
    """The files, read back as any user of them would; their manifest says that nobody verified them yet."""

    program: Program


@dataclass(frozen=True)
class Verified:
    """Files whose program computes what PyTorch does."""

    program: Program
    verification: Verification


@dataclass(frozen=True)
class Recipe:
    """What kind of program is made.

    Attributes:
        steps: between `Joint` and `Edge`, in this order.
        partitioners: makes those of the backends that take over parts of the graphs.
        external: leave weights out of the program, for a .ptd.
        training: it has a method `train`.
    """

    steps: tuple[Step, ...] = ()
    partitioners: Callable[[], list[Any]] | None = None
    external: bool = False
    training: bool = False
