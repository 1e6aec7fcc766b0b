"""Exported programs of `torch.export`, and their joint graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import GraphModule


def add_backward_graph(
    program: ExportedProgram, decompositions: Mapping[Any, Callable[..., Any]]
) -> ExportedProgram:
    """The joint graph of a captured one whose output 0 is the loss, as
    `torch.export.experimental._export_forward_backward` makes it, with other decompositions than the core
    ones.

    The outputs become [buffer updates, the program's own, gradients]. Nodes know the module they come from
    (`nn_module_stack`), and those of the backward graph the number of the forward operation they belong to
    (`seq_nr`).
    """
    import torch
    from torch.export.experimental import _copy_graph_module_and_signature, _remove_detach_pass
    from torch.export.exported_program import _decompose_exported_program

    with torch.enable_grad(), _traced_once():
        joint = _decompose_exported_program(
            program,
            cia_to_decomp={},
            python_decomp_table=dict(decompositions),
            joint_loss_index=0,
            decompose_custom_triton_ops=False,
        )
    graph_module, signature = _copy_graph_module_and_signature(joint)
    _remove_detach_pass(graph_module, signature)
    return joint._update(graph_module, signature)


@contextmanager
def _traced_once() -> Iterator[None]:
    """Has `aot_export_module` take the joint graph that `torch._functorch.aot_autograd._aot_export_function`
    returns. It traces that once more, by `make_fx`, to get one without nested arguments: as long again, and
    what nodes know is lost on the way."""
    from torch._functorch import aot_autograd

    patched: Any = aot_autograd
    original, make_fx = patched._aot_export_function, patched.make_fx
    traces: list[GraphModule] = []

    def keeping(*args: Any, **kwargs: Any) -> Any:
        result: Any = original(*args, **kwargs)
        traces.append(result[0])
        return result

    def flattening(function: Any, **kwargs: Any) -> Any:
        def trace(*args: Any) -> Any:
            flat = _flattened_joint(traces[-1], args) if traces else None
            return make_fx(function, **kwargs)(*args) if flat is None else flat

        return trace

    patched._aot_export_function, patched.make_fx = keeping, flattening
    try:
        yield
    finally:
        patched._aot_export_function, patched.make_fx = original, make_fx


def _flattened_joint(joint: GraphModule, args: Sequence[Any]) -> GraphModule | None:
    """(arguments, gradients of outputs) → (outputs, a gradient or None for each argument) as (*arguments) →
    (*outputs, *gradients of arguments that require some); None where one of these is missing."""
    import torch
    from torch.fx.graph import CodeGen

    graph = joint.graph
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    results: Any = graph.output_node().args[0]
    gradients = results[len(results) - len(args) :]
    wanted = [isinstance(arg, torch.Tensor) and arg.requires_grad for arg in args]
    if any((gradient is not None) != want for gradient, want in zip(gradients, wanted, strict=True)):
        return None
    if any(node.users for node in placeholders[len(args) :]):
        return None
    for node in placeholders[len(args) :]:
        graph.erase_node(node)
    outputs = results[: len(results) - len(args)]
    graph.output_node().args = ((*outputs, *(gradient for gradient in gradients if gradient is not None)),)
    graph.set_codegen(CodeGen())
    return torch.fx.GraphModule(joint, graph)


def new_program(source: ExportedProgram, graph: Any, signature: Any) -> ExportedProgram:
    """A program of some nodes of another: `ExportedProgram(...)` with the tensors that its signature names,
    the other's `_verifiers`, and the nesting of its inputs and outputs as `torch.utils._pytree` has it."""
    from torch.export import ExportedProgram, ModuleCallEntry, ModuleCallSignature
    from torch.export.graph_signature import InputKind, OutputKind
    from torch.utils import _pytree

    inputs = [spec for spec in signature.input_specs if spec.kind is InputKind.USER_INPUT]
    outputs = [spec for spec in signature.output_specs if spec.kind is OutputKind.USER_OUTPUT]
    call = ModuleCallSignature(
        inputs=[],
        outputs=[],
        in_spec=_pytree.tree_structure((tuple(0 for _ in inputs), {})),
        out_spec=_pytree.tree_structure(tuple(0 for _ in outputs)),
        forward_arg_names=[spec.arg.name for spec in inputs],
    )
    kept = {spec.target for spec in signature.input_specs}
    return ExportedProgram(
        root=source.graph_module,
        graph=graph,
        graph_signature=signature,
        state_dict={name: tensor for name, tensor in source.state_dict.items() if name in kept},
        range_constraints=source.range_constraints,
        module_call_graph=[ModuleCallEntry(fqn="", signature=call)],
        constants={name: value for name, value in source.constants.items() if name in kept},
        verifiers=source._verifiers,
    )


def copied_program(program: ExportedProgram) -> ExportedProgram:
    """A program of its own with the same calls and tensors: `_copy_graph_module_and_signature` and `_update`.
    Its outputs' names are told again, since a copied node may get another."""
    from torch.export.experimental import _copy_graph_module_and_signature

    graph_module, signature = _copy_graph_module_and_signature(program)
    outputs: Any = graph_module.graph.output_node().args[0]
    for spec, node in zip(signature.output_specs, outputs, strict=True):
        if hasattr(node, "name"):
            spec.arg.name = node.name
    return program._update(graph_module, signature, state_dict=dict(program.state_dict))


def rename_tensors(program: ExportedProgram, names: Mapping[str, str]) -> None:
    """Gives parameters, buffers and constants other names, in the signature and in `_state_dict` and
    `_constants`, which `ExportedProgram` offers to read only."""
    for specs in (program.graph_signature.input_specs, program.graph_signature.output_specs):
        for spec in specs:
            if spec.target in names:
                spec.target = names[spec.target]
    for tensors in (program._state_dict, program._constants):
        for old in [name for name in tensors if name in names]:
            tensors[names[old]] = tensors.pop(old)


def replace_tensors(program: ExportedProgram, tensors: Mapping[str, torch.Tensor]) -> None:
    """Puts others in the place of parameters, buffers and constants: in `_state_dict` and `_constants`."""
    for held in (program._state_dict, program._constants):
        held.update({name: tensor for name, tensor in tensors.items() if name in held})


def restore_batch_range(lowered: ExportedProgram, captured: ExportedProgram) -> None:
    """Undoes what lowering concludes about the batch size.

    Tracing decompositions asks PyTorch which convolution algorithm it would take, which depends on the batch
    for 1-D convolutions, and notes the answer (batch < 16) as a fact about the program. The graph is the same
    for every batch; that it computes rightly up to the largest is verified. The facts lie in
    `_range_constraints` and in the `shape_env` of every symbolic length.
    """
    import torch

    lowered._range_constraints = dict(captured.range_constraints)
    for node in lowered.graph.nodes:
        value = node.meta.get("val")
        for length in value.shape if isinstance(value, torch.Tensor) else ():
            if isinstance(length, torch.SymInt):
                length.node.shape_env.var_to_range.update(captured.range_constraints)


def constant_length(length: int | torch.SymInt) -> int | None:
    """What a length has become; None while it is open: `torch.SymNode.maybe_as_int`."""
    known: int | None = length if isinstance(length, int) else length.node.maybe_as_int()
    return known


def record_operators(function: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> GraphModule:
    """The operators a function runs, above autograd: `make_fx(..., _allow_non_fake_inputs=True)`, where
    parameters may be ordinary tensors."""
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(function, tracing_mode="fake", pre_dispatch=True, _allow_non_fake_inputs=True)(*inputs)


def exported_schema_version() -> int:
    """Major version of the .pt2 files this PyTorch reads: `torch._export.serde.schema.SCHEMA_VERSION`."""
    from torch._export.serde.schema import SCHEMA_VERSION

    return int(SCHEMA_VERSION[0])
