"""Finding what can't be trained before it is lowered, and saying where it is and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch.export import ExportedProgram

from ..artifacts.program_needs import own_operators
from ..engine.modes import set_training_mode
from ..errors import CheckFailedError, EdgetrainError
from ..models.calling import call_model
from ..reporting import Reporter
from ..runtimes.executorch_py import runtime_operators
from ..runtimes.kernels import why_not_run
from ..tasks.outputs import named_outputs
from ..upstream.edge import edge_operator_names
from .batches import Batch
from .kernel_limits import refused
from .module_paths import module_path
from .pipeline import Edge, Recipe, Subject

_WAYS_OUT = {
    "adaptive_": "use an AvgPool or MaxPool of fixed size",
    "fractional_max_pool": "use MaxPool2d or AdaptiveMaxPool2d",
    "max_unpool": "use Upsample, or a transposed convolution",
    "upsample": "use upsampling without antialias",
    "embedding_bag": "use Embedding, and the sum or mean of what it gives",
    "sort": "sort along a dimension of constant length, without stable=True",
    "grid_sampler": "sample before the model, as a part of its inputs",
    "multinomial": "use gumbel_softmax, or draw with rand",
    "randperm": "shuffle samples before the model, as a part of its inputs",
    "poisson": "draw with rand or randn",
    "rand": "draw float32 numbers of a shape such as [batch, 1, 1]",
    "convolution": "use convolutions over one, two or three dimensions with a batch in front",
    "fft": "compute the transform before the model, as a part of its inputs",
    "stft": "compute the transform before the model, as a part of its inputs",
    "linalg": "compute it before the model, or keep what it gives as a buffer",
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


# Of operators that nothing they become has a kernel for, and that PyTorch can't always bring so far.
_HOPELESS = ("fft_", "stft", "istft", "linalg_inv", "linalg_solve", "linalg_lu", "linalg_eig", "linalg_qr")


def check_captured(program: ExportedProgram) -> None:
    """Refuses a captured graph with operators that no later station would refuse with a clear reason.

    Raises:
        CheckFailedError: naming each operator, its modules and a way out.
    """
    problems: dict[str, _Problem] = {}
    for node in program.graph.nodes:
        name = getattr(node.target, "_schema", None) and node.target.name()
        if name and _stem(name.split(".")[0]).startswith(_HOPELESS):
            problem = problems.setdefault(name, _Problem(name.split(".")[0], ""))
            if (module := module_path(node)) and module not in problem.modules:
                problem.modules.append(module)
    if problems:
        raise CheckFailedError("; ".join(_explain(problem) for problem in problems.values()))


def check_operators(edge: Edge, recipe: Recipe, origin: str, available: set[str] | None = None) -> None:
    """Refuses graphs the runtime can't execute.

    Args:
        origin: where the model comes from, for messages.
        available: operators of the runtime; None for those of the one that is installed.
    Raises:
        CheckFailedError: naming each operator, its modules and a way out.
    """
    if available is None:
        available = runtime_operators() | _own(edge)
    problems: dict[tuple[str, str], _Problem] = {}
    for method in edge.manager.methods:
        for name, what, module in _untakeable(edge.manager.exported_program(method), available):
            problem = problems.setdefault((name, what), _Problem(name, what))
            if module and module not in problem.modules:
                problem.modules.append(module)
    found = [problems[key] for key in sorted(problems) if not _forward_too(key, problems)]
    if not found:
        return
    if recipe.training:
        raise CheckFailedError("; ".join(_explain(problem) for problem in found))
    named = ", ".join(f"{p.operator.split('::')[-1]}{p.of}{_where(p.modules)}" for p in found)
    raise CheckFailedError(f"{origin} uses {named}, for which ExecuTorch has no kernel; replace these layers")


def _forward_too(key: tuple[str, str], problems: dict[tuple[str, str], _Problem]) -> bool:
    """Whether a gradient is of an operator that is refused itself: freezing it is no way out."""
    forward = {_stem(name) for name, what in problems if not what and not name.endswith("_backward")}
    return key[0].endswith("_backward") and _stem(key[0]) in forward


def _own(edge: Edge) -> set[str]:
    """Operators of edgetrain's own that a program calls.

    Raises:
        CheckFailedError: edgetrain's kernels, which they need, are missing.
    """
    programs = [edge.manager.exported_program(method) for method in edge.manager.methods]
    called = [edge_operator_names(node) for program in programs for node in program.graph.nodes]
    own = own_operators(names[1] for names in called if names is not None and names[1] is not None)
    problem = why_not_run(own) if own else None
    if problem is not None:
        raise CheckFailedError(
            f"recurrent layers become {own[0]}, which only edgetrain's kernels can run, and {problem}; or "
            "export with --recurrent unrolled, for any ExecuTorch"
        )
    return set(own)


@dataclass
class _Problem:
    """Calls of an operator that nothing runs.

    Attributes:
        what: the calls that are no good, where others are; else empty.
    """

    operator: str
    what: str
    modules: list[str] = field(default_factory=list)

    @property
    def of(self) -> str:
        return f" for {self.what}" if self.what else ""


def _untakeable(edge: ExportedProgram, available: set[str]) -> Iterator[tuple[str, str, str]]:
    """Calls that no kernel takes: ATen name, what is refused of it (empty where all is), module."""
    for node in edge.graph.nodes:
        names = edge_operator_names(node)
        if names is None:
            continue
        if names[1] not in available:
            yield names[0], "", module_path(node)
        elif what := refused(node):
            yield names[0], what, module_path(node)


def _explain(problem: _Problem) -> str:
    stem = _stem(problem.operator)
    way_out = next((text for key, text in _WAYS_OUT.items() if key in stem), "replace that layer")
    what = "backward of " if problem.operator.endswith("_backward") else ""
    # What forward needs, freezing doesn't spare.
    freeze = ", or freeze it and all that comes before it with --trainable" if what else ""
    return (
        f"ExecuTorch can't train this model: it has no kernel for the {what}{stem}{problem.of}"
        f"{_where(problem.modules)}; {way_out}{freeze}"
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
