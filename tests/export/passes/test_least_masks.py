"""Masks are kept where they are less than what they are made of, and else made one at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.export.graph_signature import OutputKind
from torch.fx import Node

from edgetrain.export.joint import add_backward
from edgetrain.export.passes import SIMPLIFICATIONS
from edgetrain.export.passes.dropout_as_mask import dropout_as_mask

aten = torch.ops.aten


class Activated(nn.Module):
    """Inputs with a trained offset, an activation, and a product with a weight that is trained or not."""

    def __init__(self, activation: nn.Module, *, trained: bool) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.randn(6))
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(6), requires_grad=trained)

    def forward(self, x: Tensor) -> Tensor:
        return (self.activation(x + self.offset) * self.weight).sum()


X = torch.randn(5, 6, generator=torch.Generator().manual_seed(0)) * 3


def cheap(model: nn.Module) -> ExportedProgram:
    batch = Dim("batch", min=1, max=8)
    program = add_backward(export(model, (X,), dynamic_shapes=({0: batch},), strict=True))
    expected = gradients(program)
    for simplify in SIMPLIFICATIONS:
        simplify(program)
    for found, wanted in zip(gradients(program), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    return program


def gradients(program: ExportedProgram) -> list[Tensor]:
    names = program.graph_signature.inputs_to_parameters
    placeholders = [node.name for node in program.graph.nodes if node.op == "placeholder"]
    with torch.no_grad():
        given = [program.state_dict[names[n]] if n in names else X for n in placeholders]
        return list(program.graph_module(*given)[1:])


def kept(program: ExportedProgram) -> set[torch.dtype]:
    """Of the tensors of a batch's size that forward makes and backward uses."""
    nodes = list(program.graph.nodes)
    kinds = [spec.kind for spec in program.graph_signature.output_specs]
    loss = program.graph.output_node().args[0][kinds.index(OutputKind.LOSS_OUTPUT)]
    border = nodes.index(loss)

    def is_batch(node: Node) -> bool:
        value = node.meta.get("val")
        return node.op == "call_function" and isinstance(value, Tensor) and value.dim() == 2

    return {
        source.meta["val"].dtype
        for node in nodes[border + 1 :]
        for source in node.all_input_nodes
        if is_batch(source) and nodes.index(source) < border
    }


def fills(program: ExportedProgram) -> int:
    return sum(node.target is aten.masked_fill.Scalar for node in program.graph.nodes)


def test_masks_are_kept_where_nothing_else_would_be() -> None:
    for activation in (nn.ReLU(), nn.ReLU6()):
        program = cheap(Activated(activation, trained=False))
        assert kept(program) == {torch.bool}
        assert fills(program) == 1


def test_masks_of_what_is_kept_are_made_when_they_are_used() -> None:
    for activation, count in ((nn.ReLU(), 1), (nn.ReLU6(), 2)):
        program = cheap(Activated(activation, trained=True))
        assert kept(program) == {torch.float32}
        assert fills(program) == count, "one mask at a time"


def test_relu_before_dropout_is_masked_by_what_that_returned() -> None:
    model = Activated(nn.Sequential(nn.ReLU(), nn.Dropout(0.4)), trained=True).train()
    batch = Dim("batch", min=1, max=8)
    program = add_backward(export(model, (X,), dynamic_shapes=({0: batch},), strict=True))
    for change in (dropout_as_mask, *SIMPLIFICATIONS):
        change(program)
    (mask,) = [n for n in program.graph.nodes if n.target is aten.le.Scalar]
    assert mask.args[0].target is aten.mul.Tensor
    assert kept(program) == {torch.float32, torch.bool}, "what was dropped out, and whether it was"
    offset, weight = gradients(program)
    # Whole numbers of samples kept, each scaled by 1/(1-p).
    samples = offset / model.weight.detach() * 0.6
    torch.testing.assert_close(samples, samples.round())
    assert bool((weight >= 0).all())
