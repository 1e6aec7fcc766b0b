"""What a program takes and gives: every argument with its role, every tensor with how it changes.

Written once, by export, and read by every runtime. Arguments are looked up by role and name; positions
stand in `index` and are nobody else's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..config.optimizer import OptimizerConfig
from .memory import MemoryRecord

Role = Literal[
    "input",
    "target",
    "hyperparameter",
    "loss",
    "prediction",
    "output",
    "metric",
    "gradient",
    "parameter",
    "buffer",
    "optimizer_state",
]
# Who changes a tensor: an optimizer outside the program, a method as it runs, or nobody.
Update = Literal["optimizer", "graph", "none"]
BATCH = "batch"
# The method of the layers before the first that is trained, where these are one of their own.
BACKBONE = "backbone"
# Methods that make a step whose update is in the graph, where a program has them. They run one after the
# other, and share one arena for each kind of memory.
STEP_METHODS = (BACKBONE, "train", "update")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Dimension(_Record):
    """A length that a caller chooses, within bounds."""

    least: int = Field(1, ge=1)
    most: int = Field(ge=1)


class Argument(_Record):
    """One input or output of a method.

    Attributes:
        name: of an input or target: as in the samples; of a gradient, parameter, buffer or optimizer state:
            the tensor's; of the rest: what it is.
        tensor: the tensor it belongs to.
        index: position among the method's inputs, or outputs.
        shape: lengths, or names of dimensions.
        least, most: bounds of its values, where data has to be checked against them.
        ignored: a value outside of these bounds that counts for nothing.
    """

    name: str
    role: Role
    tensor: str | None = None
    index: int = Field(ge=0)
    dtype: str
    shape: list[int | str]
    least: float | None = None
    most: float | None = None
    ignored: int | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape without the batch dimension."""
        return tuple(length for length in self.shape if isinstance(length, int))


class Method(_Record):
    """One method.

    Attributes:
        arena_bytes: planned memory for activations, then for the shared mutable weights.
        memory: what the activations are; runtimes need no such knowledge.
    """

    inputs: list[Argument]
    outputs: list[Argument]
    arena_bytes: list[int]
    operators: list[str]
    memory: MemoryRecord | None = None

    def taken(self, role: Role) -> list[Argument]:
        """Its inputs of a role, in order."""
        return [argument for argument in self.inputs if argument.role == role]

    def given(self, role: Role) -> list[Argument]:
        """Its outputs of a role, in order."""
        return [argument for argument in self.outputs if argument.role == role]

    @model_validator(mode="after")
    def _numbered(self) -> Method:
        for arguments in (self.inputs, self.outputs):
            if [argument.index for argument in arguments] != list(range(len(arguments))):
                raise ValueError("arguments are not numbered in their order")
        return self


class Slice(_Record):
    """The part of an original parameter that a tensor is: `length` rows from `start` along `dim`."""

    parameter: str
    dim: int = Field(0, ge=0)
    start: int = Field(0, ge=0)
    length: int = Field(ge=1)


class TensorRecord(_Record):
    """One parameter, buffer or optimizer state.

    Attributes:
        update: who changes it: an optimizer outside the program, a method as it runs (one that returns
            gradients may stand beside that), or nobody.
        of: the part of an original parameter it is; None: the whole one of its own name.
        aliases: other names of the same tensor in the model (tied weights).
        arena_offset: where a changing one lies in the weights' arena [bytes].
        constant_index: which constant of the program one that never changes is (inline weights only).
    """

    name: str
    kind: Literal["parameter", "buffer", "optimizer_state"]
    shape: list[int]
    dtype: str
    update: Update
    of: Slice | None = None
    aliases: list[str] = Field(default_factory=list)
    arena_offset: int | None = None
    constant_index: int | None = None

    @property
    def changes(self) -> bool:
        """Whether training changes it."""
        return self.update != "none"


class Metric(_Record):
    """A figure made of sums that `train` and `evaluate` return, added up over batches.

    mean: top / bottom. exp_mean: exp(top / bottom). mean_of_ratios: the mean of top[i] / bottom[i] over all i
    whose bottom is not 0.

    Attributes:
        top, bottom: names of the sums.
        better: which direction is.
        is_share: shown in percent.
    """

    name: str
    kind: Literal["mean", "exp_mean", "mean_of_ratios"] = "mean"
    top: str
    bottom: str
    better: Literal["higher", "lower"]
    is_share: bool = False


class Contract(_Record):
    """The whole description of a program.

    Attributes:
        metrics: the first is the loss; `best` names those that decide which weights are best, the most
            important first.
        optimizer: whose update is part of `train`; its learning rate is an input, and the rest of its
            settings stands in the graph. None: `train` returns gradients.
        splits_batches: a batch may have any size; one larger than a method takes is run in parts.
    """

    dimensions: dict[str, Dimension]
    methods: dict[str, Method]
    tensors: list[TensorRecord]
    metrics: list[Metric]
    best: list[str]
    optimizer: OptimizerConfig | None = None
    splits_batches: bool = False

    @property
    def max_batch_size(self) -> int:
        """Samples of the largest batch."""
        return self.dimensions[BATCH].most

    @property
    def sample_inputs(self) -> list[Argument]:
        """What a sample's inputs are: those of the first method that it goes through."""
        return self.methods[BACKBONE if BACKBONE in self.methods else "train"].taken("input")

    @property
    def features(self) -> list[str]:
        """Names of what the other methods take in place of a sample's inputs; empty without a backbone."""
        return [a.name for a in self.methods[BACKBONE].outputs] if BACKBONE in self.methods else []

    @property
    def stored(self) -> list[TensorRecord]:
        """Tensors of the model: all but the optimizer's."""
        return [tensor for tensor in self.tensors if tensor.kind != "optimizer_state"]

    @property
    def changing(self) -> list[TensorRecord]:
        """Tensors of the model that training changes."""
        return [tensor for tensor in self.stored if tensor.changes]

    @property
    def states(self) -> list[TensorRecord]:
        """Tensors of the optimizer that is part of `train`."""
        return [tensor for tensor in self.tensors if tensor.kind == "optimizer_state"]

    @property
    def trainable(self) -> list[str]:
        """Names of the parameters that are trained, in the order `train` returns them or their gradients."""
        names = [a.tensor for a in self.methods["train"].given("parameter") if a.tensor is not None]
        updated = [t.name for t in self.tensors if t.kind == "parameter" and t.changes]
        return names + [name for name in updated if name not in names]

    @property
    def gradient_method(self) -> str | None:
        """The method that returns gradients for an optimizer outside of the program; None: there is none."""
        return next((name for name in ("gradients", "train") if self._gives_gradients(name)), None)

    def _gives_gradients(self, name: str) -> bool:
        return name in self.methods and bool(self.methods[name].given("gradient"))

    def tensor(self, name: str) -> TensorRecord:
        """The tensor of this name."""
        return next(tensor for tensor in self.tensors if tensor.name == name)

    @model_validator(mode="after")
    def _hangs_together(self) -> Contract:
        problems = list(_problems(self))
        if problems:
            raise ValueError("; ".join(problems))
        return self


def _problems(contract: Contract) -> Iterator[str]:
    known = {tensor.name: tensor for tensor in contract.tensors}
    if BATCH not in contract.dimensions:
        yield "it has no batch dimension"
    for name, method in contract.methods.items():
        for argument in (*method.inputs, *method.outputs):
            if argument.tensor is not None and argument.tensor not in known:
                yield f"{name} has an argument of {argument.tensor}, which is no tensor of the program"
            for length in argument.shape:
                if isinstance(length, str) and length not in contract.dimensions:
                    yield f"{name} has an argument with the unknown dimension {length}"
    for method in contract.methods.values():
        for argument in method.given("gradient"):
            tensor = known.get(argument.tensor or "")
            if tensor is not None and tensor.update == "none":
                yield f"{tensor.name} has a gradient, but nothing changes it"
    names = {metric.name for metric in contract.metrics}
    yield from (f"{name} is no metric" for name in contract.best if name not in names)
