"""Further inputs and tensors of an exported program, and those that it doesn't need."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, InputSpec, TensorArgument
from torch.fx import Node

_TENSORS = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR, InputKind.CUSTOM_OBJ)


def placeholder_of(program: ExportedProgram, name: str) -> Node:
    """The placeholder of a parameter, buffer or input.

    Raises:
        KeyError: the program has none of this name.
    """
    signature = program.graph_signature
    placeholders = {str(n.target): n for n in program.graph.nodes if n.op == "placeholder"}
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    by_name = {tensor: placeholder for placeholder, tensor in names.items()}
    return placeholders[by_name.get(name, name)]


def add_input(program: ExportedProgram, name: str, example: Tensor) -> Node:
    """A further input behind all others."""
    last = [node for node in program.graph.nodes if node.op == "placeholder"][-1]
    with program.graph.inserting_after(last):
        node = _placeholder(program, name)
    node.meta["val"] = _like(program, example)
    program.graph_signature.input_specs.append(
        InputSpec(InputKind.USER_INPUT, TensorArgument(node.name), None)
    )
    return node


def add_buffer(program: ExportedProgram, name: str, value: Tensor) -> Node:
    """A further buffer, behind those that are there and before the inputs.

    Args:
        value: what it holds at first.
    """
    specs = program.graph_signature.input_specs
    place = sum(1 for spec in specs if spec.kind in _TENSORS)
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    where = nodes[place] if place < len(nodes) else next(n for n in program.graph.nodes if n not in nodes)
    with program.graph.inserting_before(where):
        node = _placeholder(program, "b_" + "".join(c if c.isalnum() else "_" for c in name))
    node.meta["val"] = _like(program, value)
    specs.insert(place, InputSpec(InputKind.BUFFER, TensorArgument(node.name), name, persistent=True))
    program.state_dict[name] = value
    return node


def drop_unused_tensors(program: ExportedProgram) -> None:
    """Removes the placeholders of tensors that nothing reads."""
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    specs = program.graph_signature.input_specs
    for spec in list(specs):
        if spec.kind in _TENSORS and not nodes[spec.arg.name].users:
            program.graph.erase_node(nodes[spec.arg.name])
            specs.remove(spec)
    program.graph_module.recompile()


def _placeholder(program: ExportedProgram, name: str) -> Node:
    """A placeholder at the graph's insertion point. The graph may call it otherwise (it has no capitals in
    names, and none twice), and those that `torch.export` makes have one name for all purposes."""
    node = program.graph.placeholder(name)
    node.target = node.name
    return node


def _like(program: ExportedProgram, tensor: Tensor) -> Tensor:
    """A fake tensor of the program's kind."""
    fakes = (node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), Tensor))
    with next(fakes).fake_mode:
        return torch.empty(tensor.shape, dtype=tensor.dtype)
