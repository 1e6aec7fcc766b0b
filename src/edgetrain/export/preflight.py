"""Finding what can't be trained before it is lowered, and saying where it is and what to do."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.export import ExportedProgram

from ..engine.modes import set_training_mode
from ..errors import CheckFailedError, EdgetrainError
from ..models.calling import call_model
from ..reporting import Reporter
from ..runtimes.executorch_py import runtime_operators
from ..tasks.outputs import named_outputs
from ..upstream import edge_operator_names
from .batches import Batch
from .module_paths import module_path
from .pipeline import Edge, Recipe, Subject

_WAYS_OUT = {
    "avg_pool2d": "use ceil_mode=False and padding=0, or a max-pool or strided convolution instead",
    "adaptive_avg_pool2d": "use AdaptiveAvgPool2d(1) or an AvgPool2d of fixed size",
    "avg_pool3d": "use 2-D pooling",
    "feature_dropout": "use Dropout instead of Dropout1d, Dropout2d or Dropout3d",
    "bernoulli": "remove stochastic depth, or set its probability to 0",
    "upsample": "use nearest-neighbour upsampling by an integer factor, or a transposed convolution",
}


def check_gradients_reach(subject: Subject, batch: Batch, reporter: Reporter) -> None:
    """Runs one backward pass in eager PyTorch and freezes parameters the loss doesn't depend on.

    Raises:
        CheckFailedError: the model fails on the example, or no parameter has a gradient.
    """
    model, task = subject.module, subject.task
    set_training_mode(model, subject.settings.batch_norm)
    buffers = {name: tensor.clone() for name, tensor in model.named_buffers()}
    try:
        loss = task.loss(named_outputs(call_model(model, batch.inputs)), batch.targets)
        if loss.requires_grad:
            loss.backward()
    except EdgetrainError:
        raise
    except Exception as error:  # model and loss are anybody's code
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in batch.inputs.items())
        raise CheckFailedError(
            f"the model fails on a batch of {shapes} with the loss {task.spec.loss}: {reason}"
        ) from error
    unreached = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    for name, parameter in model.named_parameters():
        parameter.grad = None
        if name in unreached:
            parameter.requires_grad_(False)
    with torch.no_grad():
        for name, tensor in model.named_buffers():
            if not torch.equal(tensor, buffers[name]):  # one that is expanded can't be written
                tensor.copy_(buffers[name])
    if not any(p.requires_grad for p in model.parameters()):
        raise CheckFailedError("the loss depends on no trainable parameter; choose others with --trainable")
    if unreached:
        reporter.warn(f"frozen, since the loss does not depend on them: {_listed(unreached)}")


def check_operators(edge: Edge, recipe: Recipe, origin: str, available: set[str] | None = None) -> None:
    """Refuses graphs the runtime can't execute.

    Args:
        origin: where the model comes from, for messages.
        available: operators of the runtime; None for those of the one that is installed.
    Raises:
        CheckFailedError: naming each operator, its modules and a way out.
    """
    if available is None:
        available = runtime_operators()
    missing: dict[str, list[str]] = {}
    for method in edge.manager.methods:
        for name, modules in missing_operators(edge.manager.exported_program(method), available).items():
            known = missing.setdefault(name, [])
            known += [module for module in modules if module not in known]
    if not missing:
        return
    if recipe.training:
        raise CheckFailedError(
            "; ".join(_explain(name, modules) for name, modules in sorted(missing.items()))
        )
    named = ", ".join(f"{n.split('::')[-1]}{_where(modules)}" for n, modules in sorted(missing.items()))
    raise CheckFailedError(f"{origin} uses {named}, for which ExecuTorch has no kernel; replace these layers")


def missing_operators(edge: ExportedProgram, available: set[str]) -> dict[str, list[str]]:
    """ATen names of the operators of an edge-dialect graph that the runtime has no kernel for, and the
    modules they come from."""
    missing: dict[str, list[str]] = {}
    for node in edge.graph.nodes:
        names = edge_operator_names(node)
        if names is None or names[1] in available:
            continue
        modules = missing.setdefault(names[0], [])
        path = module_path(node)
        if path and path not in modules:
            modules.append(path)
    return missing


def _explain(operator: str, modules: list[str]) -> str:
    stem = _stem(operator)
    way_out = next((text for key, text in _WAYS_OUT.items() if key in stem), "replace that layer")
    what = "backward of " if operator.endswith("_backward") else ""
    return (
        f"ExecuTorch can't train this model: it has no kernel for the {what}{stem}{_where(modules)}; "
        f"{way_out}, or freeze it and all that comes before it with --trainable"
    )


def _where(modules: list[str]) -> str:
    return f" (in {_listed(modules)})" if modules else ""


def _stem(operator: str) -> str:
    name = operator.split("::")[-1].removesuffix("_backward").removesuffix("_copy")
    for part in ("_with_indices", "native_"):
        name = name.replace(part, "")
    return name.strip("_")


def _listed(names: Iterable[str], most: int = 5) -> str:
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
