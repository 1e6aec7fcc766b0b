"""What a model makes of images and other samples, and how good that is where their labels are known."""

from .report import PredictReport
from .stage import predict

__all__ = ["PredictReport", "predict"]
