"""`edgetrain`: the program and its subcommands."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from .. import __version__
from ..errors import UsageError
from .errors import FAILED, report
from .late import HELP_NAMES, Subcommand, group_of
from .typed import remember

# Each is a file of its own beside this one, loaded when the command is called.
COMMANDS = (
    Subcommand("train", "Train a model in PyTorch; the best epoch becomes the checkpoint."),
    Subcommand(
        "export",
        "Lower a checkpoint with its backward graph to ExecuTorch, and verify the result against PyTorch.",
    ),
    Subcommand("finetune", "Fine-tune an exported program on (shifted) data, as a device would."),
    Subcommand(
        "predict",
        "Say what a model makes of images or other samples, and how good that is where labels are known.",
    ),
    Subcommand("bench", "Measure the same fine-tuning steps in every runtime."),
    Subcommand(
        "convert", "Convert models from other places to ExecuTorch, and compare each result with its source."
    ),
    Subcommand(
        "optimize",
        "Make a checkpoint smaller and faster: surgery, pruning, quantization, training in between.",
    ),
    Subcommand(
        "check",
        "Say whether a model trains on a device as in PyTorch, and how fast; exit code 4 if it doesn't.",
        writes=False,
    ),
    Subcommand("pack", "Pack one split of a data set into a file that a device can map."),
    Subcommand(
        "build-runner",
        "Build a native runner with the kernels that some programs call and no others.",
        configured=False,
    ),
    Subcommand("compare", "Put the histories of several runs side by side.", configured=False, writes=False),
    Subcommand(
        "inspect", "Show what a file holds. Nothing in it is executed.", configured=False, writes=False
    ),
    Subcommand(
        "doctor",
        "Say what is installed, what works here and what to install; exit code 1 if something is missing.",
        configured=False,
        writes=False,
    ),
)

# Typer has None for these, and loads pydantic to find that None is no flag that was given.
_NOT_GIVEN = {"help": False, "install_completion": False, "show_completion": False}

app = typer.Typer(
    name="edgetrain",
    cls=group_of(COMMANDS),
    pretty_exceptions_enable=False,
    context_settings={"default_map": _NOT_GIVEN, **HELP_NAMES},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edgetrain {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def edgetrain(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="print the version and exit"),
    ] = False,
) -> None:
    """Train a PyTorch model on a server, export it with its backward graph, fine-tune it on a device."""
    if context.invoked_subcommand is None:
        text = context.get_help()
        if text:
            typer.echo(text)


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, so that temporary files go. Stages that save handle both."""
    ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


class _Ending:
    """Ends the process without taking PyTorch apart piece by piece, which lasts a second or two.

    What others register to be done at the end is done before, and threads have been waited for.
    """

    def __init__(self) -> None:
        self.code = FAILED
        atexit.register(self._end)

    def _end(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(self.code)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line.

    Args:
        arguments: without the program's name; default: those of the process.
    Returns:
        the exit code.
    """
    if arguments is None:
        end = _Ending()
        end.code = main(sys.argv[1:])
        return end.code
    remember(arguments)
    try:
        if "" in arguments:  # as a path, it would be this folder
            raise UsageError("one of the arguments is empty; is a shell variable unset?")
        # Not standalone: what goes wrong before a command runs comes back here instead of being printed.
        with _sigterm_as_ctrl_c():
            code = app(args=arguments, prog_name="edgetrain", standalone_mode=False)
            sys.stdout.flush()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else FAILED
    except (Exception, KeyboardInterrupt) as error:
        return report(error, debug="--debug" in arguments)
    return code if isinstance(code, int) else 0
