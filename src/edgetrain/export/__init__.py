"""From a checkpoint to an ExecuTorch program that trains: capture, joint graph, lowering, verification."""

from .stage import ExportResult, export, export_subject

__all__ = ["ExportResult", "export", "export_subject"]
