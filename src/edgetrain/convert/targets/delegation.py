"""From a captured graph to a program for inference, whatever the backend makes of it."""

from __future__ import annotations

from torch.export import ExportedProgram

from ...errors import CheckFailedError, EdgetrainError
from ...export.pipeline import Captured, Lowered
from ...export.planning import lower_captured
from ...export.recipes import Backend, inference_recipe, xnnpack_operators
from ...upstream.programs import copied_program


def lower_for_inference(program: ExportedProgram, backend: Backend, origin: str) -> tuple[Lowered, list[str]]:
    """Lowers a graph. An operator on which the backend's own code fails stays on portable kernels.

    Returns:
        the program, and where that happened, for people.
    Raises:
        CheckFailedError: the runtime can't execute it, or the backend's code fails on several operators.
    """
    if backend == "portable":
        return _lowered(program, backend, (), origin), []
    try:
        return _lowered(copied_program(program), backend, (), origin), []
    except Exception as error:  # backends raise what they like, which may have been told as a sentence since
        if isinstance(error, EdgetrainError) and error.__cause__ is None:
            raise
        failure = error.__cause__ or error
    for name in _suspects(program):
        try:
            lowered = _lowered(copied_program(program), backend, (name,), origin)
        except Exception:  # it is another one, then
            continue
        short = name.partition(".")[0]
        note = f"{short} stays on portable kernels, since {backend}'s code fails on it{_at(program, short)}"
        return lowered, [note]
    said = (str(failure).strip().splitlines() or [type(failure).__name__])[0]
    raise CheckFailedError(
        f"{origin} can't be lowered: {backend}'s code fails on it ({said}); --backend portable takes it"
    ) from failure


def _lowered(program: ExportedProgram, backend: Backend, portable: tuple[str, ...], origin: str) -> Lowered:
    graphs = Captured({"forward": program}, {})
    return lower_captured(graphs, inference_recipe(backend, portable), origin)


def _suspects(program: ExportedProgram) -> list[str]:
    """What the graph calls and the backend may get, the rarest first."""
    called = [str(node.target).removeprefix("aten.") for node in program.graph.nodes]
    counts = {name: called.count(name) for name in xnnpack_operators()}
    return sorted((name for name, count in counts.items() if count), key=lambda name: counts[name])


def _at(program: ExportedProgram, name: str) -> str:
    """The layers that call an operator."""
    paths = [
        list(node.meta["nn_module_stack"].values())[-1][0]
        for node in program.graph.nodes
        if str(node.target).startswith(f"aten.{name}.") and node.meta.get("nn_module_stack")
    ]
    named = [path for path in dict.fromkeys(paths) if path]
    return f" ({', '.join(named[:3])})" if named else ""
