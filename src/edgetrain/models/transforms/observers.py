"""A model that computes as its int8 program will: fake-quantized, by PT2E for XNNPACK.

The convolution with its batch norm is one layer there, as in the program (`observed/norms.py`). Parameters
keep their names, so that the state without `observers.*` is the float model's: trained on under rounding, it
can still be exported for training on the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ...artifacts.checkpoint import Checkpoint
from ...artifacts.transforms import Observers, Transform
from ...errors import UsageError

if TYPE_CHECKING:
    from torch.fx import GraphModule

    from .observed.model import ObservedModel


def observe(model: nn.Module, record: Observers) -> ObservedModel:
    """Puts observers into a model, whose parameters become those of the result.

    Raises:
        CheckFailedError: torch.export can't capture the model.
        UsageError: the model has observers already, or a pattern of layers fits none.
    """
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    from .observed.capture import capture_forward, example_inputs, graph_of
    from .observed.dropouts import put_dropouts_back
    from .observed.model import OBSERVERS, ObservedModel
    from .observed.norms import put_norms_back, take_norms_in
    from .observed.quantizer import check_patterns, xnnpack_quantizer
    from .zeros import without_masks

    if isinstance(model, ObservedModel):
        raise UsageError("the model is quantized already; start from its float checkpoint")
    if hasattr(model, OBSERVERS):
        raise UsageError(
            f"the model has an attribute called '{OBSERVERS}', which quantization needs; rename it"
        )
    check_patterns(model, record.skipped)
    state = set(model.state_dict())
    with without_masks(model) as pruned:
        graph = graph_of(capture_forward(model, example_inputs(record.inputs)))
    take_norms_in(graph, model)
    graph = prepare_qat_pt2e(graph, xnnpack_quantizer("trained", record.skipped))
    put_dropouts_back(graph, model)
    put_norms_back(graph, model)
    _mask(graph, pruned)
    _collect_observers(graph)
    _keep_out_of_state(graph, state)
    graph.recompile()
    return ObservedModel(graph, record).train(model.training)


def strip_observers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float model's part of an observed model's state."""
    return {name: tensor for name, tensor in state.items() if not name.startswith("observers.")}


def without_observers(transforms: Iterable[Transform]) -> tuple[Transform, ...]:
    """What was done to the float model."""
    return tuple(transform for transform in transforms if not isinstance(transform, Observers))


def float_checkpoint(checkpoint: Checkpoint) -> Checkpoint:
    """The float model of a checkpoint, with the weights that it learned under rounding, if it did."""
    return replace(
        checkpoint,
        state=strip_observers(checkpoint.state),
        transforms=without_observers(checkpoint.transforms),
    )


def _mask(graph: GraphModule, pruned: Iterable[str]) -> None:
    """Keeps the zeros of weights, by name, as their layers do (`zeros.py`)."""
    from .zeros import only_nonzero

    weights = set(pruned)
    for node in list(graph.graph.nodes):
        if node.op == "get_attr" and node.target in weights:
            with graph.graph.inserting_after(node):
                masked = graph.graph.call_function(only_nonzero, (node,))
            masked.meta = dict(node.meta)
            node.replace_all_uses_with(masked, delete_user_cb=lambda user, masked=masked: user is not masked)


def _collect_observers(graph: GraphModule) -> None:
    """Names what rounds `observers.0`, ... in the order of the graph."""
    from .observed.fake_quantize import FakeQuantize
    from .observed.model import OBSERVERS

    observers = nn.Module()
    observers.register_buffer("frozen", torch.zeros(2, dtype=torch.uint8))
    modules = dict(graph.named_modules(remove_duplicate=False))
    names: dict[int, str] = {}
    for node in graph.graph.nodes:
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(module, FakeQuantize):
            name = names.setdefault(id(module), str(len(names)))
            setattr(observers, name, module)
            if hasattr(graph, str(node.target)):
                delattr(graph, str(node.target))
            node.target = f"{OBSERVERS}.{name}"
    for name, module in list(graph.named_children()):
        if isinstance(module, FakeQuantize):  # of a node that is gone
            delattr(graph, name)
    graph.add_module(OBSERVERS, observers)


def _keep_out_of_state(graph: GraphModule, names: set[str]) -> None:
    """Constants that capturing made tensors of are no part of the model's state."""
    from .observed.model import OBSERVERS

    for name in graph.state_dict():
        if name not in names and not name.startswith(f"{OBSERVERS}."):
            path, _, own = name.rpartition(".")
            owner = graph.get_submodule(path)
            owner.register_buffer(own, getattr(owner, own), persistent=False)
