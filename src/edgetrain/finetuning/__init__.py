"""Training an exported program further, in any runtime, and saving what it learned."""

from .outputs import default_output, history_path, output_files, source_beside, with_runtime
from .process import finetune
from .result import Evaluation, FinetuneResult
from .resume import interrupted_after

__all__ = [
    "Evaluation",
    "FinetuneResult",
    "default_output",
    "finetune",
    "history_path",
    "interrupted_after",
    "output_files",
    "source_beside",
    "with_runtime",
]
