"""From checkpoints of any origin to programs and checkpoints: read, captured, lowered, compared."""

from .kinds import find_files, stem_of
from .report import ConvertResult, Failure, FileReport
from .stage import convert, output_files

__all__ = ["ConvertResult", "Failure", "FileReport", "convert", "find_files", "output_files", "stem_of"]
