"""The same fine-tuning in every runtime, side by side: speed, memory and loss."""

from .report import BenchReport
from .stage import BenchResult, bench

__all__ = ["BenchReport", "BenchResult", "bench"]
