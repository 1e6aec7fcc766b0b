"""What is refused before anything is quantized."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...models.calling import call_model
from ...models.transforms.observed.model import ObservedModel


def check_float(model: nn.Module) -> None:
    """Raises:
    UsageError: the model is quantized, or prepared for it, already.
    """
    int8 = any(t.dtype in (torch.int8, torch.uint8) or t.is_quantized for t in model.buffers())
    if isinstance(model, ObservedModel) or int8:
        raise UsageError("the model is quantized already; start from its float checkpoint")


def check_samples(model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
    """Runs the model, in evaluation mode, on the first two samples.

    Raises:
        UsageError: there are fewer, or the model doesn't take them.
    """
    shapes = {name: list(tensor.shape) for name, tensor in inputs.items()}
    if not inputs or min((len(t) for t in inputs.values()), default=0) < 2:
        raise UsageError(
            f"calibration takes two samples or more, of the same number for each input, not {shapes}"
        )
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            call_model(model, {name: tensor[:2] for name, tensor in inputs.items()})
    except (RuntimeError, IndexError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"the model doesn't take samples of shapes {shapes}: {reason}") from error
    finally:
        for module, mode in modes:
            module.training = mode
