"""Quantization: after training, or as a part of it."""

from .layers import LayerNoise, layer_noise
from .plot import plot_layers
from .post_training import post_training
from .program import write_program
from .qat import QatSchedule, finish_qat, prepare_qat

__all__ = [
    "LayerNoise",
    "QatSchedule",
    "finish_qat",
    "layer_noise",
    "plot_layers",
    "post_training",
    "prepare_qat",
    "write_program",
]
