"""Edge dialect and memory planning of ExecuTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .node_keys import IN_PLACE_OF
from .operators import is_mutable, is_operator
from .programs import copied_program

if TYPE_CHECKING:
    from torch.export import ExportedProgram
    from torch.fx import Node


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
