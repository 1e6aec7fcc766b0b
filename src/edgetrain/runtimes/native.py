"""The native runner as a process that does one job and reports in JSON lines."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..config.optimizer import OptimizerConfig
from ..errors import CheckFailedError, EdgetrainError, InputError, InterruptedRun, UsageError
from ..runner import require_runner, runner_environment
from .signals import forwarded

_ERRORS = {error.exit_code: error for error in (EdgetrainError, UsageError, InputError, CheckFailedError)}
_PREFIX, _NOTE = "edgetrain-runner: ", "note: "


class NativeProcess:
    """A running command of edgetrain-runner.

    Args:
        arguments: command, files and flags.
        what: what it does, for the message when it dies, as in "fine-tuning".
        runner: another than the one that is installed.
    Raises:
        EdgetrainError: the runner is not installed, or can't be started.
    """

    def __init__(self, arguments: Sequence[str | Path], *, what: str, runner: Path | None = None) -> None:
        self._what, self._asked = what, False
        self._said = tempfile.TemporaryFile(prefix="edgetrain-")  # noqa: SIM115
        path = self._path = runner or require_runner()
        try:
            self._process = subprocess.Popen(
                [path, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env={**runner_environment(), "EDGETRAIN_PARENT": str(os.getpid())},
                text=True,
                start_new_session=True,  # signals reach it through `forwarding_signals` only
            )
        except OSError as error:
            raise EdgetrainError(f"can't start the native runner {path}: {error.strerror}") from error

    def events(self) -> Iterator[dict[str, Any]]:
        """What the command reports, as it comes, to the command's end.

        Raises:
            EdgetrainError: the command failed; the class follows from its exit code.
            InterruptedRun: it was told to stop, and has saved.
        """
        while (event := self._next()) is not None:
            yield event
        self._check_end()

    def ask(self, line: str) -> dict[str, Any]:
        """Sends a line to the command's stdin and returns the event that answers it.

        Raises:
            EdgetrainError: as `events`.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the reason it ended is found below
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        self._asked = True
        found = self.answer()
        self._asked = False
        return found

    def answer(self) -> dict[str, Any]:
        """The next event; there has to be one.

        Raises:
            EdgetrainError: as `events`.
        """
        event = self._next()
        if event is None:
            self._check_end()
            raise CheckFailedError(f"the native runner ended too early while {self._what}")
        return event

    def finish(self) -> None:
        """Ends the command's stdin, and waits until it has ended by itself.

        Raises:
            EdgetrainError: as `events`.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        for _ in self.events():
            pass

    def notes(self) -> list[str]:
        """Remarks of the command that a user should know."""
        return [line.removeprefix(_NOTE) for line in self._stderr() if line.startswith(_NOTE)]

    @contextlib.contextmanager
    def forwarding_signals(self) -> Iterator[None]:
        """Passes SIGINT and SIGTERM on to the runner, which saves and ends; a second one ends it at once."""
        with forwarded(self._process.send_signal):
            yield

    def close(self) -> None:
        """Ends the command if it still runs."""
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                assert stream is not None
                stream.close()
        if self._asked:  # for an answer that nobody waits for any more
            self._process.kill()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def __enter__(self) -> NativeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _next(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def _stderr(self) -> list[str]:
        self._said.seek(0)
        return self._said.read().decode(errors="replace").splitlines()

    def _check_end(self) -> None:
        code = self._process.wait()
        if code == 0:
            return
        said = [line.strip() for line in self._stderr() if line.strip()]
        if code > 0 and not any(line.startswith(_PREFIX) for line in said):
            raise EdgetrainError(
                f"{self._path} is no native runner of this edgetrain, or could not be started"
                f"{f' ({said[-1]})' if said else ''}; see what 'edgetrain doctor' says"
            )
        ours = [line.removeprefix(_PREFIX) for line in said if line.startswith(_PREFIX)]
        if code == InterruptedRun.exit_code and ours:
            raise InterruptedRun(ours[-1])
        if code in (-signal.SIGINT, -signal.SIGTERM):
            raise InterruptedRun("stopped at once; the output holds what was saved last")
        if code in _ERRORS and ours:
            raise _ERRORS[code](ours[-1])
        how = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        because = f" ({said[-1]})" if said else ""
        raise CheckFailedError(f"the native runner {how} while {self._what}{because}")


def optimizer_flags(config: OptimizerConfig) -> list[str]:
    """The runner's flags for an optimizer; numbers keep every digit."""
    flags = ["--optimizer", config.name]
    for name, value in config.model_dump(exclude={"name", "nesterov", "groups"}).items():
        if value is not None:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    for pattern, lr in config.groups.items():
        flags += ["--group", f"{pattern}={lr}"]
    return [*flags, "--nesterov"] if config.nesterov and config.name == "sgd" else flags
