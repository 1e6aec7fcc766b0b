"""The process in which files are read and converted: what goes wrong in it costs one file."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path

from ..config.stages import ConvertCommand
from ..errors import EdgetrainError, InputError
from ..runtimes.child import tell
from ..runtimes.limits import limit_memory
from ..upstream.imports import import_torch
from .kinds import Identified
from .report import FileReport

_GIB = 2**30


class Worker:
    """Converts files, one call each, within a limit of memory; lives in a child process."""

    def __init__(self, config: ConvertCommand) -> None:
        self.config = config
        limit_memory(config.convert.memory_limit * _GIB)
        # Only afterwards, so that the limit holds for it as well.
        import_torch()
        import torch

        from .conversion import convert_file

        # One thread for both sides makes latencies comparable, and small models faster.
        torch.set_num_threads(1)

        self._convert = convert_file

    def convert(self, found: Identified, stem: Path) -> FileReport | Failed:
        """Converts a file; see `conversion.convert_file`. What goes wrong is returned: raising it would end
        the process, and the next file had to wait for another one."""
        try:
            return self._convert(self.config, found, stem, tell)
        except Exception as error:
            return Failed(self._explained(error, found.path), RemoteError(traceback.format_exc()))

    def _explained(self, error: Exception, path: Path) -> EdgetrainError:
        if isinstance(error, EdgetrainError):
            return error
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return InputError(
                f"{path} needs more than {self.config.convert.memory_limit} GiB of memory; raise "
                "--memory-limit if that is right"
            )
        if isinstance(error, OSError):
            return EdgetrainError(f"{error.filename or path}: {error.strerror or error}")
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
        return EdgetrainError(f"{path} can't be converted ({said}); run again with --debug for the traceback")


class RemoteError(Exception):
    """The traceback of the other process, for `--debug`."""


@dataclass(frozen=True)
class Failed:
    """A conversion that ended with an error."""

    error: EdgetrainError
    cause: RemoteError
