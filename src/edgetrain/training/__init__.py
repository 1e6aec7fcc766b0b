"""Training on the server: the loop in eager PyTorch, exact resumption, torchrun."""

from .stage import TrainResult, train
from .store import last_path, output_files

__all__ = ["TrainResult", "last_path", "output_files", "train"]
