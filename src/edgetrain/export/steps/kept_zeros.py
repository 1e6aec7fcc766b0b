"""Pruned weights that stay zero, with the least a program can do about it.

A layer that keeps its zeros computes with w * (w != 0) (`models/transforms/zeros.py`). That is w, so all
methods compute with w itself, and only its gradient is masked: in `train`, once, where it is complete.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind, TensorArgument
from torch.fx import Node

from ...config.stages import ExportCommand
from ..passes.placeholders import placeholder_of
from ..passes.rewriting import arguments, call, computed, finish
from ..pipeline import Captured, Joint

aten = torch.ops.aten


def weights_themselves(captured: Captured, command: ExportCommand | None = None) -> Captured:
    """Has all methods compute with pruned weights as they are, in place, and notes whose gradients have to be
    masked instead."""
    found = {name: unmask_weights(program) for name, program in captured.graphs.items()}
    return replace(captured, kept_zeros=frozenset(found.get("train", ())))


def unmask_weights(program: ExportedProgram) -> list[str]:
    """w * (w != 0) → w, for the parameters that are used in no other way; returns their names."""
    names = {**program.graph_signature.inputs_to_parameters, **program.graph_signature.inputs_to_buffers}
    found = []
    for node in [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]:
        products = [user for user in node.users if _is_masked(user, node)]
        masks = {arguments(product)[1] for product in products}
        if products and set(node.users) == {*products, *masks}:
            for product in products:
                product.replace_all_uses_with(node)
            found.append(names[node.name])
    finish(program)
    return found


def masked_gradients(joint: Joint, command: ExportCommand) -> Joint:
    """Has `train` return gradients that are zero where pruned weights are, in place."""
    if joint.kept_zeros:
        mask_gradients(joint.graphs["train"], joint.kept_zeros)
    return joint


def mask_gradients(program: ExportedProgram, parameters: frozenset[str]) -> None:
    """g → masked_fill(g, w == 0, 0), for the gradients of some parameters, where they are returned.

    A linear layer's is no matrix product any more, so that an optimizer in the graph makes it before it adds
    it to anything (`optimizers/products.py`).
    """
    output = program.graph.output_node()
    (returned,) = arguments(output)
    results = list(returned)
    for index, spec in enumerate(program.graph_signature.output_specs):
        if spec.kind is not OutputKind.GRADIENT_TO_PARAMETER or spec.target not in parameters:
            continue
        gradient, weight = results[index], placeholder_of(program, spec.target)
        with program.graph.inserting_before(output):
            zero = computed(program.graph, aten.eq.Scalar, (weight, 0), gradient)
            results[index] = call(
                program.graph,
                aten.masked_fill.Scalar,
                (gradient, zero, 0),
                gradient.meta["val"],
                gradient,
            )
        spec.arg = TensorArgument(results[index].name)
    output.args = (tuple(results),)
    finish(program)


def _is_masked(product: Node, weight: Node) -> bool:
    """Whether a node is weight * (weight != 0)."""
    if product.target is not aten.mul.Tensor or arguments(product)[0] is not weight:
        return False
    mask = arguments(product)[1]
    return isinstance(mask, Node) and mask.target is aten.ne.Scalar and tuple(mask.args) == (weight, 0)
