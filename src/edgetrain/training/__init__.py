"""Training on the server: the loop in eager PyTorch, exact resumption, torchrun."""

from .resume import interrupted_after
from .stage import TrainResult, train
from .store import history_path, last_path, output_files

__all__ = ["TrainResult", "history_path", "interrupted_after", "last_path", "output_files", "train"]
