"""The stations between a model and its program, each a record that the next is made of:

    Captured → Joint → Edge → Lowered → Written → Verified

Each is made by one function in a file of its own: `capture`, `joint`, `edge`, `lowering`, `writing`,
`verification`. A `Recipe` says what kind of program it becomes.

Graphs are handed on, not copied, since they are as large as the model: a step may rewrite those of the record
it is given, and nobody uses that record afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from executorch.exir import EdgeProgramManager
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..artifacts.checkpoint import Checkpoint
from ..artifacts.contract import Argument
from ..artifacts.manifest import Verification
from ..artifacts.program import Program
from ..artifacts.transforms import ProgramTransform
from ..config.optimizer import OptimizerConfig
from ..config.stages import ExportCommand, ExportConfig
from ..config.update_rules import UpdateRule
from ..tasks import Task
from .memory.timeline import MemoryTimeline

Graphs = dict[str, ExportedProgram]


@dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes:
        module: the model, in PyTorch.
        source: what is known about it; its state is not used.
        path: the checkpoint's file, where it is one of edgetrain's.
        origin: where the model comes from, for messages.
        transforms: what was done to the model's layers for this program.
        rules: by which parameters were chosen for training.
    """

    module: nn.Module
    task: Task
    source: Checkpoint
    config: ExportCommand
    origin: str
    path: Path | None = None
    transforms: Sequence[ProgramTransform] = ()
    rules: Sequence[UpdateRule] = ()

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
class Quantized:
    """What an int8 backbone is held against.

    Attributes:
        reference: (*inputs) → (*features) in float32.
        head: (*features) → outputs by name, in evaluation mode.
        samples: those it was calibrated with, by input.
        features: their names.
    """

    reference: nn.Module
    head: nn.Module
    samples: dict[str, Tensor]
    features: list[str]


@dataclass(frozen=True)
class Captured:
    """Forward graphs by method, over tensors named as in the model's state_dict. Those of a backbone have
    names of their own.

    Attributes:
        signatures: of the methods that a contract is written for.
        counted: the metric sum that says what the loss is a mean over.
        samples: inputs of real samples by name, preprocessed, [N, ...] each; empty where none are given.
        quantized: set where the backbone is int8.
        kept_zeros: parameters whose zeros have no gradient, though the graph of `train` doesn't say so.
    """

    graphs: Graphs
    signatures: dict[str, Signature]
    counted: str = ""
    samples: dict[str, Tensor] = field(default_factory=dict)
    quantized: Quantized | None = None
    kept_zeros: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Joint:
    """The graphs of all methods; `train` has its backward graph.

    Attributes:
        trainable: parameters that `train` returns gradients of, in its order.
        mutated: buffers that `train` writes.
        counted: the metric sum that says what the loss is a mean over.
        quantized, kept_zeros: as for `Captured`.
        optimizer: whose update becomes part of `train`; None: its gradients are for a runtime's optimizer.
        states: of that optimizer, zeros, by name.
    """

    graphs: Graphs
    signatures: dict[str, Signature]
    trainable: list[str]
    mutated: list[str]
    counted: str = ""
    quantized: Quantized | None = None
    kept_zeros: frozenset[str] = frozenset()
    optimizer: OptimizerConfig | None = None
    states: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Edge:
    """The graphs in edge dialect.

    Attributes:
        tensors: parameters and buffers that they read, by name; no optimizer state, and none of a backbone,
            whose weights lie in the program as its backend wants them.
        notes: what steps have to say about what they did.
    """

    joint: Joint
    manager: EdgeProgramManager
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Steps:
    """What is done to each of the first stations, in this order. A step returns a record of the same kind."""

    captured: tuple[Callable[[Captured], Captured], ...] = ()
    joint: tuple[Callable[[Joint], Joint], ...] = ()
    edge: tuple[Callable[[Edge], Edge], ...] = ()


@dataclass(frozen=True)
class Lowered:
    """A program ready to be written.

    Attributes:
        edge: what it was made of.
        program: the bytes of the .pte.
        arena_bytes: planned memory by method, one size per arena: activations, weights.
        operators: operators each method calls, as the runtime names them.
        weight_offsets: where each changing tensor lies in the weights' arena [bytes].
        timelines: what lives when in each method's arena of activations.
    """

    edge: Edge
    program: bytes
    arena_bytes: dict[str, list[int]]
    operators: dict[str, list[str]]
    weight_offsets: dict[str, int]
    timelines: dict[str, MemoryTimeline]


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
        steps: between the stations.
        partitioners: makes those of the backends that take over parts of graphs.
        delegated: the methods these are from; None: all.
        external: leave weights out of the program, for a .ptd.
        training: it has a method `train`.
    """

    steps: Steps = Steps()
    partitioners: Callable[[], list[Any]] | None = None
    delegated: Sequence[str] | None = None
    external: bool = False
    training: bool = False
