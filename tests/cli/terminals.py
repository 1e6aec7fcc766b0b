"""Command lines in a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Seen:
    """What a process wrote to its terminal, escape sequences and all.

    Attributes:
        lines: without escape sequences; what a bar redraws comes again and again.
    """

    code: int
    raw: str

    @property
    def lines(self) -> list[str]:
        text = _ESCAPES.sub("", self.raw).replace("\r\n", "\n").replace("\r", "\n")
        return text.split("\n")


class Terminal:
    """A process whose stdout and stderr are a terminal of this size."""

    def __init__(
        self, command: Sequence[str | Path], *, columns: int, folder: Path | None = None, piped: bool = False
    ) -> None:
        """
        Args:
            piped: stdout is thrown away, only stderr is the terminal.
        """
        self._reader, writer = os.openpty()
        fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        # The test workers' own width is no terminal's.
        unset = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if piped else writer,
            stderr=writer,
            cwd=folder,
            env={**environment, "TERM": "xterm-256color"},
        )
        os.close(writer)
        self._chunks: list[bytes] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def raw(self) -> str:
        """What was written so far."""
        return b"".join(self._chunks).decode(errors="replace")

    def end(self, timeout: float = 120) -> Seen:
        """Waits for the process to end."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self._thread.join()
            os.close(self._reader)
        return Seen(code, self.raw)

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._reader, 65536)
            except OSError:  # nobody has the other end any more
                return
            if not chunk:
                return
            self._chunks.append(chunk)
