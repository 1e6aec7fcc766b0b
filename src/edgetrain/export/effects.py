"""What a model's forward does besides returning outputs, found before it is captured.

A buffer that is written in training is part of the program, as batch norm's statistics are. What a graph
would lose without a word, or would do more often than the model does, is refused.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..engine.modes import set_training_mode
from ..errors import CheckFailedError
from ..models.calling import call_model
from .batches import Batch
from .pipeline import Subject


@torch.no_grad()
def check_effects(subject: Subject, batch: Batch) -> None:
    """Runs the model in both modes, and leaves its buffers as they were.

    Raises:
        CheckFailedError: it puts another tensor in a buffer's place, or writes a buffer in evaluation, too.
    """
    model = subject.module
    held = {
        (path, name): (tensor, tensor.clone())
        for path, module in model.named_modules()
        for name, tensor in module.named_buffers(recurse=False)
    }
    replaced: list[str] = []
    written: list[str] = []
    with torch.random.fork_rng(devices=[]):
        for training in (True, False):
            if training:
                set_training_mode(model, subject.settings.batch_norm)
            else:
                model.eval()
            call_model(model, batch.inputs)
            for (path, name), (tensor, before) in held.items():
                module = model.get_submodule(path)
                if getattr(module, name) is not tensor:
                    setattr(module, name, tensor)
                    replaced.append(f"{path}.{name}".strip("."))
                if not _same(tensor, before):
                    tensor.copy_(before)
                    written += [] if training else [f"{path}.{name}".strip(".")]
    if replaced:
        raise CheckFailedError(
            f"the model puts another tensor in the place of its buffer {replaced[0]} while it runs, which a "
            f"graph can't keep; write into it: self.{replaced[0].split('.')[-1]}.copy_(...)"
        )
    if written:
        raise CheckFailedError(
            f"the model writes its buffer {written[0]} in evaluation, too, so that its results depend on how "
            "often it was asked; write it only `if self.training`"
        )


def _same(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
