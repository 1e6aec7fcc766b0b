"""Every use of what PyTorch and ExecuTorch don't promise to keep: private names, and keys of their graphs.

With a new version of either, this file is what to check; nothing else in edgetrain knows their insides. All
imports stand inside functions, so that importing this file loads neither.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.fx import Graph, GraphModule, Node

# The versions that all of this was checked against.
CHECKED = {"torch": "2.13", "executorch": "1.5"}

# --- keys of node.meta -------------------------------------------------------------------------------------

# Of an operator: the place of the argument whose memory its result takes (`MemoryPlanningPass`).
IN_PLACE_OF = "_share_alloc_with_arg_idx"
# Of a placeholder: a changing tensor begins with its stored value; it would begin with zeros (the emitter).
STARTS_FROM_STORED = "et_init_buffer"
# Of a placeholder: the file outside the program that holds it (the emitter).
STORED_IN = "constant_tag"
# Of a placeholder: set by lowering where a gradient belongs to it, to keep it out of activations.
HAS_GRADIENT = "weight_has_gradient"


# Of any node: the modules it comes from, outermost first (`torch.export`).
MODULE_STACK = "nn_module_stack"
# Of a node of a joint graph: the forward operation it belongs to (autograd).
OPERATION = "seq_nr"


# --- torch: layers -----------------------------------------------------------------------------------------


def batch_norm_types() -> tuple[type[torch.nn.Module], ...]:
    """The common base of BatchNorm1d, 2d, 3d and SyncBatchNorm: `torch.nn.modules.batchnorm._BatchNorm`."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return (_BatchNorm,)


def dropout_types() -> tuple[type[torch.nn.Module], ...]:
    """The common base of all dropout layers: `torch.nn.modules.dropout._DropoutNd`."""
    from torch.nn.modules.dropout import _DropoutNd

    return (_DropoutNd,)


def copy_registrations(source: torch.nn.Module, target: torch.nn.Module) -> None:
    """Gives a module the parameters, buffers and layers of another, the same objects in the same order, and
    none besides: `Module._parameters`, `_buffers`, `_non_persistent_buffers_set` and `_modules`."""
    for name in ("_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"):
        setattr(target, name, getattr(source, name).copy())


def has_hooks(module: torch.nn.Module) -> bool:
    """Whether something runs before or after a module's forward or backward: `Module._forward_hooks`,
    `_forward_pre_hooks`, `_backward_hooks` and `_backward_pre_hooks`."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in names)


# --- torchvision -------------------------------------------------------------------------------------------


def has_vision_operators() -> bool:
    """Whether torchvision's compiled operators fit this torch: `torchvision.extension._has_ops`."""
    from torchvision import extension

    return bool(extension._has_ops())


# --- torch: nested values ----------------------------------------------------------------------------------


def leaves(value: Any) -> list[Any]:
    """What lists, tuples and dictionaries hold at any depth: `torch.utils._pytree.tree_leaves`."""
    from torch.utils import _pytree

    return _pytree.tree_leaves(value)


def flattened(value: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    """The leaves of a value, and what builds such a value of others: `torch.utils._pytree.tree_flatten`."""
    from torch.utils import _pytree

    found, spec = _pytree.tree_flatten(value)
    return found, lambda others: _pytree.tree_unflatten(others, spec)


def result_shapes(node: Any) -> list[tuple[int, ...]]:
    """Of the results that the forward of an operation of a backward graph had."""
    return [tuple(result.shape) for result in node._input_metadata]


def negative_view(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's numbers with the other sign, in its memory: `torch._neg_view`."""
    import torch

    return torch._neg_view(tensor)


def output_structure(graph: Graph, output: Node) -> Any:
    """What a graph returns, nested as its caller gets it: `pytree_info.out_spec` of the `_codegen` of graphs
    that `torch.export` made, whose output node has it flat."""
    from torch.utils import _pytree

    info = getattr(graph._codegen, "pytree_info", None)
    if info is None or info.out_spec is None:
        return output.args[0]
    flat: Any = output.args[0]
    return _pytree.tree_unflatten(list(flat), info.out_spec)


# --- torch: modules ----------------------------------------------------------------------------------------


def convolve(layer: Any, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """What a convolution layer computes with another weight: its `_conv_forward`, padding modes and all."""
    convolved: torch.Tensor = layer._conv_forward(x, weight, layer.bias)
    return convolved


def drop_argument_checks(graph: GraphModule) -> None:
    """Has a module of `torch.export` take arguments in any way: clears its `_forward_pre_hooks`."""
    graph._forward_pre_hooks.clear()


def share_contents(module: torch.nn.Module, source: torch.nn.Module) -> None:
    """Gives a module the very modules, parameters and buffers of another: its `_modules`, `_parameters` and
    `_buffers`, and which of these are not persistent."""
    for name in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
        module.__dict__[name] = source.__dict__[name]


def copy_contents(module: torch.nn.Module, source: torch.nn.Module, memo: dict[int, Any]) -> None:
    """The same with copies.

    Args:
        memo: as of `copy.deepcopy`.
    """
    for name in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
        module.__dict__[name] = copy.deepcopy(source.__dict__[name], memo)


# --- torch: operators --------------------------------------------------------------------------------------


def is_operator(target: Any) -> bool:
    """Whether a node's target is an ATen operator: `torch._ops.OpOverload`."""
    from torch._ops import OpOverload

    return isinstance(target, OpOverload)


def is_mutable(target: Any) -> bool:
    """Whether an operator writes into its arguments: its `_schema.is_mutable`."""
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def returns_alias(target: Any) -> bool:
    """Whether an operator's result lies in an argument's memory: `alias_info` of its `_schema.returns`."""
    return any(value.alias_info is not None for value in target._schema.returns)


def schema_arguments(target: Any) -> list[Any]:
    """An ATen operator's arguments, with name, type and what is written: its `_schema.arguments`."""
    return list(target._schema.arguments)


def schema_returns(target: Any) -> list[Any]:
    """What an ATen operator returns, with types: its `_schema.returns`."""
    return list(target._schema.returns)


def aten_operator(name: str, overload: str) -> Any:
    """The ATen operator of a name and an overload: a `torch._ops.OpOverload`; None if there is none."""
    import torch
    from torch._ops import OpOverloadPacket

    packet = getattr(torch.ops.aten, name, None)
    if not isinstance(packet, OpOverloadPacket) or overload not in packet.overloads():
        return None
    return getattr(packet, overload)


@contextmanager
def operators_run_by(run: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]) -> Iterator[None]:
    """While it lasts, `run(operator, args, kwargs)` is called below autograd for each ATen operator. Those
    that it calls run as they are: a `torch.utils._python_dispatch.TorchDispatchMode`."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            return run(func, args, kwargs or {})

    with Mode():
        yield


@contextmanager
def traced_as(functions: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """While it lasts, tracing learns what some ATen operators return from other functions than PyTorch's
    rules in Python, which for recurrent layers run all steps: `py_kernels` of a `torch._ops.OpOverload`, and
    its `_dispatch_cache`. A function returns `NotImplemented` for what it leaves to these rules."""

    def instead(function: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            found = function(*args, **kwargs)
            return rule(*args, **kwargs) if found is NotImplemented else found

        return run

    rules = {operator: dict(operator.py_kernels) for operator in functions}
    try:
        for operator, function in functions.items():
            operator.py_kernels.update({k: instead(function, rule) for k, rule in rules[operator].items()})
            operator._dispatch_cache.clear()
        yield
    finally:
        for operator, kept in rules.items():
            operator.py_kernels.update(kept)
            operator._dispatch_cache.clear()


@lru_cache(maxsize=1)
def registered_operator_names() -> frozenset[str]:
    """All ATen operators, without overloads, as in `add_`: `torch._C._jit_get_all_schemas`."""
    import torch

    schemas = torch._C._jit_get_all_schemas()
    return frozenset(s.name.removeprefix("aten::") for s in schemas if s.name.startswith("aten::"))


@lru_cache(maxsize=1)
def core_decompositions() -> Mapping[Any, Callable[..., Any]]:
    """PyTorch's rules from all operators to the core ones: `torch._decomp.core_aten_decompositions`."""
    from torch._decomp import core_aten_decompositions

    return dict(core_aten_decompositions())


# --- torch: exported programs ------------------------------------------------------------------------------


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


# --- executorch: edge dialect ------------------------------------------------------------------------------


def edge_operators() -> Any:
    """The operators of the edge dialect, as in `.aten.relu.default`: `executorch.exir.dialects._ops`."""
    from executorch.exir.dialects._ops import ops

    return ops.edge


def scalar_operators() -> dict[str, Any]:
    """What the runtime computes with numbers that are no tensors, by the name of the operation:
    `exir.dialects._ops.ops.backend.executorch_prim`."""
    from executorch.exir.dialects._ops import ops

    prim = ops.backend.executorch_prim
    return {name: getattr(prim, name).Scalar for name in ("mul", "sub", "truediv")}


def edge_settings(kept: Sequence[Any] = ()) -> Any:
    """Settings for `to_edge` that check no validity, which knows no joint graphs (`_check_ir_validity`).

    Args:
        kept: operators to leave whole.
    """
    from executorch.exir import EdgeCompileConfig

    return EdgeCompileConfig(_check_ir_validity=False, preserve_ops=list(kept))


def manager_of(programs: Mapping[str, ExportedProgram], settings: Any) -> Any:
    """What `to_edge` makes of some programs. Those that are made of core operators alone are brought to edge
    dialect as they are (`exir.program._program._generate_edge_program`), and not traced once more."""
    from executorch.exir import EdgeProgramManager, to_edge
    from executorch.exir.program._program import _generate_edge_program

    manager = to_edge(
        {name: program for name, program in programs.items() if not _is_core(program, settings)},
        compile_config=settings,
    )
    return EdgeProgramManager(
        {
            name: manager.exported_program(name)
            if name in manager.methods
            else _generate_edge_program(settings, copied_program(program), preserve_ops=settings.preserve_ops)
            for name, program in programs.items()
        },
        compile_config=settings,
    )


def _is_core(program: ExportedProgram, settings: Any) -> bool:
    """Whether `to_edge` would decompose nothing of a program: by `exir.tracer._default_decomposition_table`
    and the operators' own rules (`_dispatch_has_kernel_for_dispatch_key`), or for what it writes into."""
    import torch
    from executorch.exir.tracer import _default_decomposition_table
    from torch._ops import HigherOrderOperator, OpOverload

    table: Any = _default_decomposition_table()

    def is_core(node: Node) -> bool:
        target: Any = node.target
        if node.op != "call_function" or target in settings.preserve_ops:
            return node.op in ("placeholder", "output", "call_function")
        if target is torch.ops.aten.sym_size.int or not isinstance(target, OpOverload):
            return not isinstance(target, HigherOrderOperator)
        composite = torch._C._dispatch_has_kernel_for_dispatch_key(target.name(), "CompositeImplicitAutograd")
        return not (composite or target in table or is_mutable(target))

    return all(is_core(node) for node in program.graph.nodes)


def merged_managers(*managers: Any, further: Mapping[str, ExportedProgram] | None = None) -> Any:
    """One manager of the methods of several: `EdgeProgramManager(...)`, not to be "called directly".

    Args:
        further: methods in edge dialect that none of them has.
    """
    from executorch.exir import EdgeProgramManager

    programs = {name: m.exported_program(name) for m in managers for name in m.methods}
    return EdgeProgramManager({**programs, **(further or {})}, compile_config=managers[0].compile_config)


def edge_operator_names(node: Node) -> tuple[str, str | None] | None:
    """ATen name of a node's edge operator, and the name of its out variant, which the runtime knows it by:
    `EdgeOpOverload._op` and their `_schema`. None for other nodes; some operators have no out variant."""
    from executorch.exir.dialects.edge._ops import EdgeOpOverload

    target = node.target
    if not isinstance(target, EdgeOpOverload):
        return None
    name = str(target._op._schema.name)
    try:
        out = target.to_out_variant()._schema
    except RuntimeError:
        return name, None
    return name, f"{out.name}.{out.overload_name}" if out.overload_name else str(out.name)


def draws_random_numbers(node: Node) -> bool:
    """Whether a node of any dialect draws from a random generator: the tag `nondeterministic_seeded` among an
    operator's `tags`, that of an edge operator's `_op`; the `_op` of an ATen operator has no tags."""
    import torch

    operator = node.target if is_operator(node.target) else getattr(node.target, "_op", None)
    return torch.Tag.nondeterministic_seeded in getattr(operator, "tags", ())


# --- executorch: memory planning ---------------------------------------------------------------------------


def storage_of(spec: Any) -> tuple[Any, int]:
    """The tensor spec whose memory a tensor lies in, and how many bytes behind its start: through the views
    of `exir.passes.replace_view_copy_with_view_pass` (`_ViewSpec._base`) and through `storage_base`."""
    from executorch.exir.passes.replace_view_copy_with_view_pass import _ViewSpec

    offset = 0
    while True:
        if isinstance(spec, _ViewSpec):
            spec = spec._base
        elif spec.storage_base is not None:
            offset += spec.storage_base_offset
            spec = spec.storage_base
        else:
            return spec, offset


def lie_in(node: Node, spec: Any) -> None:
    """Gives a node's result, views of it included, the memory of another tensor: its `meta["spec"]`, and the
    `_base` of their `_ViewSpec`. Before memory planning, of operators with one result."""
    from executorch.exir import memory

    node.meta["spec"] = spec
    node.meta.pop(IN_PLACE_OF, None)
    for user in node.users:
        if user.target is memory.view:
            user.meta["spec"]._base = spec


# --- executorch: files -------------------------------------------------------------------------------------


def import_reader() -> None:
    """Imports what `read_program` and `write_program` need: ExecuTorch's compiler, which takes a while."""
    from executorch.exir._serialize import _program  # noqa: F401


def read_program(program: bytes) -> Any:
    """A .pte as ExecuTorch's schema has it: `exir._serialize._program.deserialize_pte_binary`.

    Of a program without constants that leaves an empty segment where it is, so that constants which are added
    would be written behind it and looked for in it. Here it becomes the buffer that it was made of.
    """
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.schema import Buffer

    file = deserialize_pte_binary(program)
    if not file.program.constant_buffer and all(segment.size == 0 for segment in file.program.segments):
        file.program.segments = []
        file.program.constant_segment.offsets = []
        file.program.constant_buffer = [Buffer(storage=b"")]
    return file


def write_program(file: Any) -> bytes:
    """The .pte of what `read_program` returned: `exir._serialize._program.serialize_pte_binary`."""
    from executorch.exir._serialize._program import serialize_pte_binary

    return bytes(serialize_pte_binary(file, extract_delegate_segments=True))


def load_runtime_program(path: str, data_path: str | None = None, *, profiled: bool = False) -> Any:
    """A program in the runtime: `_C._load_program`. Its `load_method(name)` gives what can be called; of one
    that is profiled, `write_etdump_result_to_file(path)` writes what ran so far."""
    from executorch.extension.pybindings import _C

    return _C._load_program(path, enable_etdump=profiled, data_path=data_path)


def set_runtime_threads(threads: int) -> None:
    """CPU threads of the runtime in this process: `_C._unsafe_reset_threadpool`, while nothing runs."""
    from executorch.extension.pybindings import _C

    _C._unsafe_reset_threadpool(threads)


def runtime_operator_names() -> set[str]:
    """All operators the runtime in this process has kernels for, as in `aten::add.out`:
    `_C._get_operator_names`."""
    from executorch.extension.pybindings import _C

    return set(_C._get_operator_names())
