"""Training on the server: the loop in eager PyTorch, exact resumption, torchrun."""

from .stage import TrainResult, train
from .store import output_files

__all__ = ["TrainResult", "output_files", "train"]
