"""Where and in which arithmetic a run computes."""

from __future__ import annotations

import torch

from ..config.stages import TrainConfig
from ..errors import UsageError
from .distributed import local_rank


def pick_device(config: TrainConfig) -> torch.device:
    """The device of this process.

    Raises:
        UsageError: a GPU is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise UsageError("there is no CUDA GPU that PyTorch can use; take --device cpu or auto")
    if config.device == "cpu" or not available:
        return torch.device("cpu")
    if local_rank() >= torch.cuda.device_count():
        raise UsageError(f"{torch.cuda.device_count()} GPU(s) for more processes; lower --nproc-per-node")
    device = torch.device("cuda", local_rank())
    torch.cuda.set_device(device)
    # The same seed gives the same weights; cuDNN's fastest algorithms don't.
    torch.backends.cudnn.deterministic = True
    return device


def pick_autocast(config: TrainConfig, device: torch.device) -> torch.dtype | None:
    """The lower precision of the forward pass; None for float32 throughout.

    Raises:
        UsageError: bfloat16 is asked for and the GPU lacks it.
    """
    supported = device.type != "cuda" or torch.cuda.is_bf16_supported()
    if config.precision == "bfloat16" and not supported:
        raise UsageError("this GPU has no bfloat16; take --precision float32")
    wanted = config.precision == "bfloat16" or (config.precision == "auto" and device.type == "cuda")
    return torch.bfloat16 if wanted and supported else None
