"""The joint graph: forward and backward in one, made ahead of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import CheckFailedError
from ..upstream.operators import core_decompositions
from ..upstream.programs import add_backward_graph
from .backbone.values import is_random
from .decompositions import DECOMPOSITIONS
from .module_paths import complete_paths
from .passes.copied_inputs import written_among
from .pipeline import Captured, Joint, Signature
from .tensor_methods import tensor_arguments

# Losses that are made of empty tensors where nothing else is said of these.
_BEGIN_EMPTY = {torch.ops.aten.hinge_embedding_loss.default, torch.ops.aten.cosine_embedding_loss.default}


def make_joint(captured: Captured) -> Joint:
    """Adds the backward graph to `train`.

    The outputs of `train` become [buffer updates, its own, gradients]; lowering appends the parameters, and
    drops the updates.
    """
    graphs, signatures = dict(captured.graphs), dict(captured.signatures)
    if "train" not in graphs:
        return Joint(graphs, signatures, [], [])
    graphs["train"] = joint = add_backward(graphs["train"])
    for name, program in graphs.items():
        if name != "train" and any(is_random(n) or n.target in _BEGIN_EMPTY for n in program.graph.nodes):
            # A model may draw numbers in evaluation as well; those of `train` are decomposed by now.
            graphs[name] = program.run_decompositions(joint_decompositions())
    trainable, mutated = gradient_names(joint), mutated_buffers(joint)
    tensors = {**joint.state_dict, **joint.constants}
    signatures["train"] = _with_gradients(signatures["train"], {n: tensors[n] for n in trainable})
    return Joint(
        graphs,
        signatures,
        trainable,
        mutated,
        captured.counted,
        captured.quantized,
        captured.kept_zeros,
    )


def add_backward(program: ExportedProgram) -> ExportedProgram:
    """The joint graph of a captured one whose first output is the loss.

    Raises:
        CheckFailedError: it writes into a parameter that is trained.
    """
    try:
        # Attention is one operator as captured; which form it takes here is chosen as it would be for running
        # it, and the fused one has no kernel for its backward.
        with sdpa_kernel(SDPBackend.MATH):
            joint = add_backward_graph(program, joint_decompositions())
    except RuntimeError as error:
        names = _written_parameters(program)
        if not names or "mutation" not in str(error):
            raise
        raise CheckFailedError(
            f"the model writes into {names[0]} while it computes with it, and no program can train what its "
            "graph changes; compute with a changed copy instead, as w.clamp(...) for w.clamp_(...)"
        ) from error
    complete_paths(joint)
    return joint


def _written_parameters(program: ExportedProgram) -> list[str]:
    names = program.graph_signature.inputs_to_parameters
    held = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    return [names[node.name] for node in written_among(program, held)]


def joint_decompositions() -> dict[Any, Callable[..., Any]]:
    """The rules joint graphs are made by: PyTorch's core ones, and ours."""
    table = {**core_decompositions(), **DECOMPOSITIONS}
    # Kept whole, so that `dropout_as_mask` finds it.
    table.pop(torch.ops.aten.native_dropout_backward.default, None)
    return table


def gradient_names(joint: ExportedProgram) -> list[str]:
    """Names of the parameters the joint graph returns gradients for, in the order it returns them."""
    kinds = (OutputKind.GRADIENT_TO_PARAMETER,)
    return [s.target for s in joint.graph_signature.output_specs if s.kind in kinds and s.target]


def mutated_buffers(program: ExportedProgram) -> list[str]:
    """Names of the buffers a graph writes (running statistics of batch norm in training mode)."""
    return [
        s.target
        for s in program.graph_signature.output_specs
        if s.kind is OutputKind.BUFFER_MUTATION and s.target
    ]


def _with_gradients(train: Signature, parameters: dict[str, Tensor]) -> Signature:
    own = len(train.outputs)
    return Signature(
        train.inputs,
        [
            *train.outputs,
            *tensor_arguments("gradient", parameters, own),
            *tensor_arguments("parameter", parameters, own + len(parameters)),
        ],
    )
