"""Training an exported program further, in any runtime, and saving what it learned."""

from .folding import source_beside
from .outputs import default_output, history_path, output_files, with_runtime
from .resume import interrupted_after
from .stage import Evaluation, FinetuneResult, finetune

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
