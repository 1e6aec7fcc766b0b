"""ScriptModule → GraphModule: the operators it runs, with parameters by name and the batch left open."""

from __future__ import annotations

import operator
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from ..errors import InputError
from ..upstream.operators import is_mutable
from ..upstream.programs import record_operators
from ..upstream.values import flattened, leaves
from .calling import Called
from .layers_put_back import put_layers_back
from .source import Captured, Runnable

aten = torch.ops.aten
# Two sizes whose ratio no other dimension is likely to have.
_SIZES = (5, 7)
# The end of TorchScript's tracebacks, where an exception says nothing.
_BARE_TYPE = re.compile(r"\s*[\w.]*(?:Error|Exception):?\s*$")


def trace_script(
    module: torch.jit.ScriptModule, example: Sequence[Tensor], origin: str, run: Runnable | None = None
) -> Captured:
    """Records what a ScriptModule computes on batches like the example.

    The interpreter's operators are recorded below TorchScript, so that branches and loops that depend on
    shapes are gone. It is done for two batch sizes; numbers that grow with the batch become its size again.

    Args:
        example: inputs [B, ...].
        origin: the file, for messages.
        run: what calls the module; default: the module itself.
    Raises:
        InputError: the module takes other branches depending on values, or was captured in training mode.
    """
    batch = len(example[0]) if example[0].dim() else 1
    run = module if run is None else run
    try:
        if isinstance(run, Called) and run.fixed:
            raise _FixedBatchError
        graphs = [_record(run, _resized(example, size)) for size in _SIZES]
        traced = _with_open_batch(*graphs)
    except (RuntimeError, _FixedBatchError):
        # The batch is written into the code of many a trace.
        traced = None
    fixed = traced is None
    if traced is None:
        try:
            traced = _record(run, example)
        except RuntimeError as error:
            raise InputError(_reason(error, origin)) from error
    _name_parameters(traced, module)
    _erase_unused(traced)
    put_layers_back(traced, origin)
    return Captured(traced, batch if fixed else None)


def _resized(example: Sequence[Tensor], size: int) -> list[Tensor]:
    return [tensor[:1].repeat(size, *[1] * (tensor.dim() - 1)) for tensor in example]


def _record(module: Callable[..., Any], inputs: Sequence[Tensor]) -> GraphModule:
    # Unoptimized, the second run does what the first one did. Gradients stay on, since without them
    # attention layers take a fused path that only inference has.
    with torch.jit.optimized_execution(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return record_operators(module, inputs)


class _FixedBatchError(Exception):
    """The graph depends on the batch in another way than by its size."""


def _with_open_batch(few: GraphModule, many: GraphModule) -> GraphModule:
    """The graph in which numbers that are k times the batch are computed from it.

    Raises:
        _FixedBatchError: the two graphs differ in something else.
    """
    pairs = list(zip(few.graph.nodes, many.graph.nodes, strict=False))
    if len(few.graph.nodes) != len(many.graph.nodes):
        raise _FixedBatchError
    first = next(node for node in few.graph.nodes if node.op == "placeholder")
    computation = next(node for node in few.graph.nodes if node.op != "placeholder")
    with few.graph.inserting_before(computation):
        size = few.graph.call_function(aten.sym_size.int, (first, 0))
    multiples: dict[int, Node] = {1: size}

    def merge(a: Any, b: Any) -> Any:
        if isinstance(a, Node) or a == b:
            return a
        times, rest = divmod(a, _SIZES[0]) if type(a) is int and type(b) is int else (0, 1)
        if rest or times * _SIZES[1] != b:
            raise _FixedBatchError
        if times not in multiples:
            with few.graph.inserting_after(size):
                multiples[times] = few.graph.call_function(operator.mul, (size, times))
        return multiples[times]

    for a, b in pairs:
        if a.op != b.op or (a.op == "call_function" and a.target is not b.target):
            raise _FixedBatchError
        if a.op == "call_function":
            ours, rebuilt = flattened((list(a.args), dict(a.kwargs)))
            theirs = leaves((list(b.args), dict(b.kwargs)))
            if len(ours) != len(theirs):
                raise _FixedBatchError
            merged = rebuilt([merge(x, y) for x, y in zip(ours, theirs, strict=True)])
            a.args, a.kwargs = tuple(merged[0]), merged[1]
    few.recompile()
    return few


def _name_parameters(traced: GraphModule, module: torch.jit.ScriptModule) -> None:
    """Gives tensors the names they have in the ScriptModule, and makes its parameters trainable ones."""
    parameters = dict(module.named_parameters())
    named = {id_of(tensor): name for name, tensor in [*module.named_buffers(), *parameters.items()]}
    for node in [n for n in traced.graph.nodes if n.op == "get_attr"]:
        tensor = getattr(traced, str(node.target))
        if isinstance(tensor, Tensor) and id_of(tensor) in named:
            name = named[id_of(tensor)]
            _register(traced, name, _without_overlaps(tensor), trainable=name in parameters)
            node.target = name
        elif isinstance(tensor, Tensor) and not isinstance(tensor, nn.Parameter):
            setattr(traced, str(node.target), _without_overlaps(tensor))
    used = {str(n.target) for n in traced.graph.nodes if n.op == "get_attr"}
    held = {
        **dict(traced.named_parameters(recurse=False, remove_duplicate=False)),
        **dict(traced.named_buffers(recurse=False, remove_duplicate=False)),
    }
    for name in [name for name in held if name not in used]:
        delattr(traced, name)
    traced.recompile()


def _without_overlaps(tensor: Tensor) -> Tensor:
    """The same numbers, each in a place of its own: ExecuTorch refuses strides of 0, also those of dimensions
    of 1."""
    return tensor.detach().clone(memory_format=torch.contiguous_format) if 0 in tensor.stride() else tensor


def id_of(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """What two tensors share only if they are the same one: ScriptModules hand out new objects each time."""
    return tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride())


def _register(root: nn.Module, name: str, tensor: Tensor, *, trainable: bool) -> None:
    *parents, last = name.split(".")
    owner = root
    for parent in parents:
        if not hasattr(owner, parent):
            owner.add_module(parent, nn.Module())
        owner = owner.get_submodule(parent)
    if trainable:
        owner.register_parameter(
            last, nn.Parameter(tensor.detach(), requires_grad=tensor.is_floating_point())
        )
    else:
        owner.register_buffer(last, tensor.detach())


def _erase_unused(traced: GraphModule) -> None:
    """Drops what nothing needs: sizes that were read to compute with, and copies of nothing."""
    for node in reversed(list(traced.graph.nodes)):
        if node.op == "call_function" and node.target in (aten.detach.default, aten.alias.default):
            node.replace_all_uses_with(node.args[0])
        if node.op in ("call_function", "get_attr") and not node.users and not is_mutable(node.target):
            traced.graph.erase_node(node)
    traced.recompile()


def _reason(error: RuntimeError, origin: str) -> str:
    text = str(error)
    if "data-dependent" in text.lower() or "DataDependent" in type(error).__name__ or "is_nonzero" in text:
        return (
            f"{origin} takes other branches depending on the values of its inputs, which a program can't; "
            "convert a model without such branches"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _BARE_TYPE.match(line)]
    return f"{origin} can't be captured: {lines[-1] if lines else type(error).__name__}"
