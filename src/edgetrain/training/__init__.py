"""Training on the server: the loop in eager PyTorch, exact resumption, torchrun."""

from .stage import TrainResult, train

__all__ = ["TrainResult", "train"]
