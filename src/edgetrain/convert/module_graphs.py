"""Modules whose code nobody else has, or that nobody else would call the right way → graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from ..errors import CheckFailedError
from ..export.capture import export_graph
from ..upstream.programs import rename_tensors
from .calling import Called
from .layers_put_back import module_of_program
from .source import Captured, Runnable

# Batches up to this size are left open; no graph depends on the number.
_LARGEST_BATCH = 2**20


def graph_capture(origin: str) -> Callable[[Sequence[Tensor], Runnable], Captured]:
    """What captures a module, for `Source.capture`."""

    def capture(example: Sequence[Tensor], run: Runnable) -> Captured:
        assert isinstance(run, nn.Module)
        largest = 1 if isinstance(run, Called) and run.fixed else _LARGEST_BATCH
        try:
            return Captured(_graph(run, example, largest, origin), None if largest > 1 else 1)
        except CheckFailedError:
            if largest == 1:
                raise
            # It may take one batch size only, or depend on it in another way.
            return Captured(_graph(run, example, 1, origin), len(example[0]))

    return capture


def _graph(module: nn.Module, example: Sequence[Tensor], largest: int, origin: str) -> nn.Module:
    program = export_graph(module, example, largest, strict=False)
    if isinstance(module, Called):
        # Tensors keep the names that the model itself gives them.
        signature = program.graph_signature
        names = [spec.target for spec in signature.input_specs if spec.target]
        rename_tensors(program, {n: n.removeprefix("model.") for n in names if n.startswith("model.")})
    return module_of_program(program, origin)
