"""From a checkpoint to an ExecuTorch program that trains: capture, joint graph, lowering, verification."""

from .comparison import compare_updates
from .stage import ExportResult, export, export_subject

__all__ = ["ExportResult", "compare_updates", "export", "export_subject"]
