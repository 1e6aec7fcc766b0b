"""From a checkpoint to an ExecuTorch program that trains: capture, joint graph, lowering, verification."""

from .stage import ExportResult, export

__all__ = ["ExportResult", "export"]
