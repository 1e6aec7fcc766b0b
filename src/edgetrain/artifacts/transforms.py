"""What was done to a model since its code was run, as plain data that can be done again.

Records come in the order in which they were made, and are replayed in it on the model as its code builds it;
its tensors are filled in afterwards. `models/transforms` knows how each is replayed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .specs import TensorSpec

# Name of the model that is nothing before a `Graph` is replayed on it.
GRAPH = "graph"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Layer(_Frozen):
    """A layer as plain data.

    Attributes:
        type: a name in `LAYERS` of `models/transforms/layers.py`, such as `Conv2d`.
        args: by name, as its constructor takes them.
        layers: of a `Sequential`, those in it.
    """

    type: str
    args: dict[str, Any] = {}
    layers: tuple[Layer, ...] = ()


class GraphTensor(_Frozen):
    """A parameter or buffer of a graph; its values are part of the state."""

    shape: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=16)
    dtype: Literal[
        "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"
    ]
    kind: Literal["parameter", "buffer"]


class GraphStep(_Frozen):
    """One call in a graph.

    Attributes:
        name: of its result.
        calls: an operator such as `aten.relu.default` (`models/transforms/graphs/operators.py` has all), or
            `layer` and a blank before the path of one.
        args, kwargs: see `Graph`.
    """

    name: str
    calls: str
    args: list[Any] = []
    kwargs: dict[str, Any] = {}


class Graph(_Frozen):
    """The model is the graph that was captured from somebody's code: calls in a row.

    Values in calls and outputs are numbers, truth values, None and lists of such; `"%NAME"`, an input or an
    earlier result; `"@PATH"`, a tensor; and mappings of one key: `text`, `dtype`, `layout`, `memory_format`,
    `device`, `number` (those that JSON doesn't have), `slice`, and in outputs `named`, values by name.

    Attributes:
        inputs: names, in the order in which forward takes them.
        tensors: those that calls read, by path.
        layers: those that are called, by path, with tensors of their own.
        frozen: parameters without gradient, by path.
        outputs: what forward returns.
    """

    kind: Literal["graph"] = "graph"
    inputs: tuple[str, ...] = Field(min_length=1, max_length=256)
    tensors: dict[str, GraphTensor]
    layers: dict[str, Layer] = {}
    frozen: tuple[str, ...] = ()
    steps: tuple[GraphStep, ...] = Field(max_length=200_000)
    outputs: Any


class ReplacedLayer(_Frozen):
    """A layer was replaced by another."""

    kind: Literal["replaced_layer"] = "replaced_layer"
    module: str
    by: Layer


class ReplacedCall(_Frozen):
    """A call of a function or method in a module's forward was replaced by a layer.

    Attributes:
        module: whose forward it is; "" is the model.
        node: of the traced forward, as `torch.fx` names it.
        was: the function or method, checked when this is replayed.
        name: what the layer is called in the module.
        of: the node whose value the layer is given; None for the call's own first argument.
    """

    kind: Literal["replaced_call"] = "replaced_call"
    module: str
    node: str
    was: str
    name: str
    by: Layer
    of: str | None = None


class FoldedNorm(_Frozen):
    """A batch norm became part of the convolution before it, which has a bias since."""

    kind: Literal["folded_norm"] = "folded_norm"
    convolution: str
    norm: str


class RemovedLayer(_Frozen):
    """A layer that does nothing was taken out of the `Sequential` it was in; the others keep their names."""

    kind: Literal["removed_layer"] = "removed_layer"
    module: str


class KeptChannels(_Frozen):
    """Of a tensor some indices along some dimensions remain.

    Attributes:
        tensor: a parameter or buffer.
        kept: by dimension, which indices, ascending; dimensions that are whole are left out.
    """

    kind: Literal["kept_channels"] = "kept_channels"
    tensor: str
    kept: dict[int, tuple[int, ...]]


class SetAttributes(_Frozen):
    """Numbers that a layer keeps about its shape were changed, such as `out_channels` and `groups`."""

    kind: Literal["set_attributes"] = "set_attributes"
    module: str
    values: dict[str, int | tuple[int, ...]]


class KeptZeros(_Frozen):
    """A layer's weight was pruned: what is zero in it stays zero while it is trained.

    Attributes:
        pattern: `unstructured`, or N:M, which is of M weights in a row N zeros.
    """

    kind: Literal["kept_zeros"] = "kept_zeros"
    module: str
    pattern: str = Field(pattern=r"unstructured|[1-9]\d*:[1-9]\d*")


class Observers(_Frozen):
    """The model computes as its int8 program will: rounded to the ranges that observers in it have seen.

    Attributes:
        inputs: that it was captured with, by name, in its order.
        skipped: patterns of the layers that stay float32.
    """

    kind: Literal["observers"] = "observers"
    inputs: dict[str, TensorSpec]
    skipped: tuple[str, ...] = ()


class SplitOutputs(_Frozen):
    """A layer was split in two along its output channels: `module.trained` with the first `channels` of them,
    and `module.frozen` with the others."""

    kind: Literal["split_outputs"] = "split_outputs"
    module: str
    channels: int = Field(ge=1)


class Lora(_Frozen):
    """A linear layer got an adapter: `module.lora_a` [rank, inputs] and `module.lora_b` [outputs, rank].

    Their product B A, times alpha / rank, is added to its weight.
    """

    kind: Literal["lora"] = "lora"
    module: str
    rank: int = Field(ge=1)
    alpha: float = Field(gt=0)


# Made for one program, and merged back into the tensors that a checkpoint has.
ProgramTransform = SplitOutputs | Lora
Transform = Annotated[
    Graph
    | ReplacedLayer
    | ReplacedCall
    | FoldedNorm
    | RemovedLayer
    | KeptChannels
    | SetAttributes
    | KeptZeros
    | Observers
    | ProgramTransform,
    Field(discriminator="kind"),
]


def of_program(transforms: Iterable[Transform]) -> tuple[ProgramTransform, ...]:
    """Those that are made for one program."""
    return tuple(t for t in transforms if isinstance(t, ProgramTransform))


def lasting(transforms: Iterable[Transform]) -> tuple[Transform, ...]:
    """The others, which a checkpoint's model has."""
    return tuple(t for t in transforms if not isinstance(t, ProgramTransform))
