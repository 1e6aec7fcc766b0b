"""The update of the weights as a part of `train`.

Each weight is written in place, by operators that stand at the end of the graph until `order` puts them right
after the last use of the weight and of its gradient. So gradients never live together, and those that are
one matrix product, as of linear layers, never exist at all (Zhu et al. 2023, PockEngine, arXiv:2310.17752,
reorder the updates of a training graph in the same way).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind, OutputSpec, TensorArgument
from torch.fx import Node

from ...config.stages import ExportCommand
from ...upstream.edge import edge_operators
from ..optimizers.rules import Update, write_sum, write_update
from ..optimizers.scalars import Scalar
from ..optimizers.state import SUM
from ..optimizers.writer import Writer
from ..passes.placeholders import add_buffer, add_input, placeholder_of
from ..pipeline import Edge

_MUL, _MM = edge_operators().aten.mul.Tensor, edge_operators().aten.mm.default
# What writes the new contents of a parameter's tensors.
_Write = Callable[[Writer, Update], list[Node]]


def update_in_graph(edge: Edge, command: ExportCommand) -> Edge:
    """Writes the optimizer of `edge.joint` into `train`, in place; where batches are run in parts, the sum of
    their gradients into `train`, and the optimizer into `update`."""
    joint = edge.joint
    assert joint.optimizer is not None
    config = joint.optimizer
    train = edge.manager.exported_program("train")

    def step(write: Writer, update: Update) -> list[Node]:
        return write_update(config, write, update)

    if "update" not in joint.graphs:
        _add_tensors(train, joint.states)
        _add_hyperparameters(train, edge, "train")
        _rewrite(train, _gradients(train), step)
        return edge
    sums = {name: state for name, state in joint.states.items() if name.startswith(SUM)}
    _add_tensors(train, sums)
    _add_hyperparameters(train, edge, "train")
    _rewrite(train, _weighted(train, edge), write_sum)
    update = edge.manager.exported_program("update")
    parameters = {name: edge.tensors[name] for name in joint.trainable}
    _add_tensors(update, {**parameters, **{n: s for n, s in joint.states.items() if n not in sums}})
    _add_hyperparameters(update, edge, "update")
    gradients = {name: placeholder_of(update, SUM + name) for name in joint.trainable}
    _rewrite(update, gradients, step, factor=("truediv", 1.0, "divisor"))
    return edge


def _add_tensors(program: ExportedProgram, tensors: Mapping[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        add_buffer(program, name, tensor)


def _add_hyperparameters(program: ExportedProgram, edge: Edge, method: str) -> None:
    for argument in edge.joint.signatures[method].inputs:
        if argument.role == "hyperparameter":
            add_input(program, argument.name, torch.tensor(0.0))


def _gradients(train: ExportedProgram) -> dict[str, Node]:
    """The gradients a joint graph returns, by parameter."""
    outputs = train.graph.output_node().args[0]
    assert isinstance(outputs, (tuple, list))
    return {
        str(spec.target): node
        for spec, node in zip(train.graph_signature.output_specs, outputs, strict=True)
        if spec.kind is OutputKind.GRADIENT_TO_PARAMETER and isinstance(node, Node)
    }


def _weighted(train: ExportedProgram, edge: Edge) -> dict[str, Node]:
    """The gradients times what the loss of the batch is a mean over, so that those of its parts add up."""
    outputs = edge.joint.signatures["train"].outputs
    index = next(o.index for o in outputs if o.role == "metric" and o.name == edge.joint.counted)
    mutated = len(train.graph_signature.buffers_to_mutate)
    nodes = list(_nodes(train.graph.output_node().args[0]))
    count, weighted = nodes[mutated + index], {}
    for name, gradient in _gradients(train).items():
        write = Writer(train, gradient)
        product = write.product(gradient)
        if product is None:
            result = write.make(_MUL, gradient, count, like=gradient)
        else:
            a, b = product
            result = write.make(_MM, a, write.make(_MUL, b, count, like=b), like=gradient)
        weighted[name] = _put(train, gradient, result)
    return weighted


def _put(train: ExportedProgram, old: Node, new: Node) -> Node:
    """Puts a node in an output's place."""
    output = train.graph.output_node()
    output.args = (tuple(new if node is old else node for node in _nodes(output.args[0])),)
    return new


def _rewrite(
    program: ExportedProgram, gradients: Mapping[str, Node], write: _Write, factor: Scalar = 1.0
) -> None:
    """Replaces gradients among the outputs by what they change: first the parameters, if they are, then the
    states. Each of these is an output so that its memory is one."""
    signature, output = program.graph_signature, program.graph.output_node()
    kept = [
        (spec, node)
        for spec, node in zip(signature.output_specs, _nodes(output.args[0]), strict=True)
        if node not in gradients.values()
    ]
    signature.output_specs[:] = [spec for spec, _ in kept]
    output.args = (tuple(node for _, node in kept),)
    changed = [
        write(Writer(program, gradient), Update(name, gradient, factor))
        for name, gradient in gradients.items()
    ]
    results = [row[i] for i in range(len(changed[0])) for row in changed]
    output.args = ((*(node for _, node in kept), *results),)
    signature.output_specs += [
        OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(node.name), None) for node in results
    ]
    program.graph.eliminate_dead_code()
    program.graph.lint()
    program.graph_module.recompile()


def _nodes(outputs: object) -> Iterable[Node]:
    assert isinstance(outputs, (tuple, list))
    return outputs
