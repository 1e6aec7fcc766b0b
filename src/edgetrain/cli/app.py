"""`edgetrain`: the program and its subcommands."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from .. import __version__
from .bench import bench
from .build_runner import build_runner
from .command import add_command
from .compare import compare
from .convert import convert
from .doctor import doctor
from .errors import FAILED, report
from .export import export
from .finetune import finetune
from .inspect import inspect
from .pack import pack
from .train import train

app = typer.Typer(name="edgetrain", pretty_exceptions_enable=False)

add_command(app, "train", train)
add_command(app, "export", export)
add_command(app, "finetune", finetune)
add_command(app, "bench", bench)
add_command(app, "convert", convert)
add_command(app, "pack", pack)
add_command(app, "build-runner", build_runner, configured=False, writes=False)
add_command(app, "compare", compare, configured=False, writes=False)
add_command(app, "inspect", inspect, configured=False, writes=False)
add_command(app, "doctor", doctor, configured=False, writes=False)


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


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line.

    Args:
        arguments: without the program's name; default: those of the process.
    Returns:
        the exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        # Not standalone: what goes wrong before a command runs comes back here instead of being printed.
        with _sigterm_as_ctrl_c():
            code = app(args=arguments, prog_name="edgetrain", standalone_mode=False)
            sys.stdout.flush()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else FAILED
    except (Exception, KeyboardInterrupt) as error:
        return report(error, debug="--debug" in arguments)
    return code if isinstance(code, int) else 0
