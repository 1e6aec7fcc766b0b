"""From a checkpoint to an ExecuTorch program that trains: capture, joint graph, lowering, verification."""

from ..upstream.imports import import_lowering

import_lowering()  # before any other import does

from .comparison import compare_updates  # noqa: E402
from .stage import ExportResult, export, export_subject  # noqa: E402

__all__ = ["ExportResult", "compare_updates", "export", "export_subject"]
