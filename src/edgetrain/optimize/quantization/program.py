"""A model, float or int8, as a program with the method `forward`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from ...artifacts.atomic import write_bytes
from ...export.capture import export_graph
from ...export.pipeline import Captured
from ...export.planning import lower_captured
from ...export.recipes import inference_recipe
from ...models.transforms.zeros import without_masks


def write_program(
    module: nn.Module, example: Sequence[Tensor], path: Path, *, max_batch_size: int = 8
) -> int:
    """Lowers a model through XNNPACK and writes it, atomically.

    Args:
        module: in evaluation mode, as `finish_qat` and `post_training` give it.
        example: [B, ...] for each input in order; with batches of 1 to `max_batch_size` B is 2 or more.
        max_batch_size: the largest batch it takes; 1 makes programs for batches of just B.
    Returns:
        its size [bytes].
    Raises:
        CheckFailedError: it can't be captured, or has an operator without a kernel in the runtime.
    """
    with without_masks(module):
        program = export_graph(module, example, max_batch_size, strict=False)
    graphs = Captured({"forward": program}, {})
    lowered = lower_captured(graphs, inference_recipe("xnnpack"), path.name)
    write_bytes(path, lowered.program)
    return len(lowered.program)
