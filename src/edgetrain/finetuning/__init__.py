"""Training an exported program further, in any runtime, and saving what it learned."""

from .stage import Evaluation, FinetuneResult, default_output, finetune, output_files

__all__ = ["Evaluation", "FinetuneResult", "default_output", "finetune", "output_files"]
