"""Finding what can't be trained before it is lowered, and saying where it is and what to do."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable

import torch
from executorch.exir.dialects.edge._ops import EdgeOpOverload
from torch import Tensor, nn
from torch.export import ExportedProgram

from ..artifacts.specs import Task
from ..engine.losses import make_loss
from ..engine.modes import BatchNormMode, set_training_mode
from ..errors import CheckFailedError, UsageError
from ..reporting import Reporter

_WAYS_OUT = {
    "avg_pool2d": "use ceil_mode=False and padding=0, or a max-pool or strided convolution instead",
    "adaptive_avg_pool2d": "use AdaptiveAvgPool2d(1) or an AvgPool2d of fixed size",
    "avg_pool3d": "use 2-D pooling",
    "feature_dropout": "use Dropout instead of Dropout1d, Dropout2d or Dropout3d",
    "bernoulli": "remove stochastic depth, or set its probability to 0",
    "upsample": "use nearest-neighbour upsampling by an integer factor, or a transposed convolution",
}


def choose_trainable(model: nn.Module, patterns: list[str]) -> list[str]:
    """Sets `requires_grad` of every parameter by name patterns (`fnmatch`); returns the trainable names.

    Raises:
        UsageError: a pattern matches nothing, or nothing stays trainable.
    """
    names = [name for name, _ in model.named_parameters()]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            prefixes = sorted({name.rsplit(".", 1)[0] + ".*" for name in names if "." in name} | set(names))
            near = difflib.get_close_matches(pattern, prefixes, n=1, cutoff=0.4)
            hint = f"did you mean '{near[0]}'?" if near else f"the first parameter is {names[0]}"
            raise UsageError(f"--trainable '{pattern}' matches no parameter of the model; {hint}")
    chosen = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in set(chosen))
    return chosen


def check_gradients_reach(
    model: nn.Module,
    task: Task,
    inputs: Tensor,
    targets: Tensor,
    batch_norm: BatchNormMode,
    reporter: Reporter,
) -> None:
    """Runs one backward pass in eager PyTorch and freezes parameters the loss doesn't depend on.

    Raises:
        CheckFailedError: the model fails on the example, or no parameter has a gradient.
    """
    set_training_mode(model, batch_norm)
    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
    try:
        loss = make_loss(task)(model(inputs), targets)
        if loss.requires_grad:
            loss.backward()
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckFailedError(
            f"the model fails on a batch of {list(inputs.shape)} with the loss {task.loss}: {reason}"
        ) from error
    unreached = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    for name, parameter in model.named_parameters():
        parameter.grad = None
        if name in unreached:
            parameter.requires_grad_(False)
    with torch.no_grad():
        for name, tensor in model.named_buffers():
            tensor.copy_(buffers[name])
    if not any(p.requires_grad for p in model.parameters()):
        raise CheckFailedError("the loss depends on no trainable parameter; choose others with --trainable")
    if unreached:
        reporter.warn(f"frozen, since the loss does not depend on them: {_listed(unreached)}")


def missing_operators(edge: ExportedProgram, available: set[str]) -> list[str]:
    """ATen names of the operators of an edge-dialect graph that the runtime has no kernel for."""
    missing = set()
    for node in edge.graph.nodes:
        if not isinstance(node.target, EdgeOpOverload):
            continue
        operator = node.target._op
        try:
            out_variant = node.target.to_out_variant()._schema
        except RuntimeError:
            missing.add(operator._schema.name)
            continue
        name = out_variant.name + (f".{out_variant.overload_name}" if out_variant.overload_name else "")
        if name not in available:
            missing.add(operator._schema.name)
    return sorted(missing)


def check_operators(edge: ExportedProgram, forward: ExportedProgram, available: set[str]) -> None:
    """Refuses a joint graph the runtime can't execute.

    Args:
        edge: the joint graph in edge dialect.
        forward: the captured forward graph, which still knows which module each operator came from.
        available: operators of the runtime.
    Raises:
        CheckFailedError: naming each operator, its modules and a way out.
    """
    missing = missing_operators(edge, available)
    if missing:
        raise CheckFailedError("; ".join(_explain(name, forward) for name in missing))


def _explain(operator: str, forward: ExportedProgram) -> str:
    stem = _stem(operator)
    modules = sorted({_module_of(node) for node in forward.graph.nodes if _same_operator(node, stem)} - {""})
    where = f" (in {_listed(modules)})" if modules else ""
    way_out = next((text for key, text in _WAYS_OUT.items() if key in stem), "replace that layer")
    what = "backward of " if operator.endswith("_backward") else ""
    return (
        f"ExecuTorch can't train this model: it has no kernel for the {what}{stem}{where}; {way_out}, "
        "or freeze it and all that comes before it with --trainable"
    )


def _stem(operator: str) -> str:
    name = operator.split("::")[-1].removesuffix("_backward").removesuffix("_copy")
    for part in ("_with_indices", "native_"):
        name = name.replace(part, "")
    return name.strip("_")


def _same_operator(node: torch.fx.Node, stem: str) -> bool:
    return node.op == "call_function" and _stem(str(node.target).replace("aten.", "").split(".")[0]) == stem


def _module_of(node: torch.fx.Node) -> str:
    """`features.2 (AvgPool2d)` for a node of a captured graph."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return ""
    path, kind = stack[-1]
    name = path.replace("L['self']", "").replace("._modules['", ".").replace("']", "").strip(".")
    name = name.removeprefix("model").strip(".") or "the model itself"
    return f"{name} ({str(kind).split('.')[-1]})"


def _listed(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
