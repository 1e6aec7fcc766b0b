"""An int8 model as a program with the method `forward`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from ...export.capture import export_graph
from ...export.inference import write_captured


def write_program(
    module: nn.Module, example: Sequence[Tensor], path: Path, *, max_batch_size: int = 8
) -> None:
    """Lowers a model through XNNPACK and writes it, atomically.

    Args:
        module: in evaluation mode, as `finish_qat` and `post_training` give it.
        example: [B, ...] for each input in order; with batches of 1 to `max_batch_size` B is 2 or more.
        max_batch_size: the largest batch it takes; 1 makes programs for batches of just B.
    Raises:
        CheckFailedError: it can't be captured, or has an operator without a kernel in the runtime.
    """
    write_captured(export_graph(module, example, max_batch_size, strict=False), path)
