"""A model's forward as a graph that can be run, over the model's own parameters."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.nn.attention import SDPBackend, sdpa_kernel

from ....artifacts.specs import TensorSpec
from ....errors import CheckFailedError
from ....upstream.layers import drop_argument_checks
from ....upstream.node_keys import MODULE_STACK
from ...calling import arrange_inputs, every_layer_called


def example_inputs(specs: Mapping[str, TensorSpec], batch: int = 2) -> dict[str, Tensor]:
    """Zeros of the shapes and dtypes that a model takes, [B, ...] each."""
    return {
        name: torch.zeros(batch, *spec.shape, dtype=getattr(torch, spec.dtype))
        for name, spec in specs.items()
    }


def capture_forward(model: nn.Module, inputs: Mapping[str, Tensor]) -> ExportedProgram:
    """The model's forward in evaluation mode, for any batch, called as the model is, or with the inputs in
    their order.

    Its state dict has the model's names, and its parameters are the model's own objects.

    Args:
        inputs: by name, an example of at least 2 samples: a batch of one is taken for a constant.
    Raises:
        CheckFailedError: torch.export can't capture it, with its reason.
    """
    arguments, keywords = arrange_inputs(model, inputs)
    batch = {0: torch.export.Dim("batch", min=2)}
    shapes = dict.fromkeys(keywords, batch) or tuple(batch for _ in arguments)
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        # As `export` captures: attention as operations of its own, and no dumps of graphs beside the reason.
        with sdpa_kernel(SDPBackend.MATH), every_layer_called(), contextlib.redirect_stderr(io.StringIO()):
            return torch.export.export(
                model,
                arguments,
                keywords,
                dynamic_shapes=shapes,
                strict=False,
            )
    except Exception as error:  # torch.export raises many types, none of them shared
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckFailedError(
            f"torch.export can't capture the model: {reason} (--debug shows all)"
        ) from error
    finally:
        for module in training:
            module.training = True


def graph_of(program: ExportedProgram) -> GraphModule:
    """A captured forward as a module, without the hooks that check arguments.

    These refuse inputs in order where the model takes them by name.
    """
    graph = program.module(check_guards=False)
    assert isinstance(graph, GraphModule)
    drop_argument_checks(graph)
    return graph


def layer_path(node: Node) -> str:
    """The name of the module that a node comes from; empty for the model's own forward."""
    stack = list((node.meta.get(MODULE_STACK) or {}).values())
    return str(stack[-1][0]).removeprefix("L['self']").strip(".") if stack else ""
