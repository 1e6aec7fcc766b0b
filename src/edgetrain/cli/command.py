"""What all subcommands share: common options, the configuration, error handling."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import UsageError
from ..reporting import Reporter
from .console import Output
from .errors import report
from .inputs import check_data, refuse_pipes
from .outputs import claim_outputs, keep_interrupted
from .quiet import quiet_libraries
from .torchrun import follows

if TYPE_CHECKING:
    from ..artifacts.kinds import Written

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="YAML file; flags and --set win over it")
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="replace default outputs that exist already, and files of another kind"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print the result as one JSON document")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="print the result and errors only")]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="tell more on stderr")]
DebugOption = Annotated[bool, typer.Option("--debug", help="show tracebacks and the warnings of libraries")]
WeightsOption = Annotated[
    Path | None,
    typer.Option(
        "--weights", metavar="FILE.ptd", help="weights to start from; default: those beside the program"
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="package.module:factory",
        help="build the model with this function, where it is not one of edgetrain's own",
    ),
]
LossOption = Annotated[
    str | None,
    typer.Option(
        "--loss",
        metavar="package.module:factory",
        help="make the loss with this function, where it is not one of edgetrain's own",
    ),
]


@dataclass(frozen=True)
class Invocation:
    """What a command gets besides its own arguments.

    Attributes:
        config: the command's configuration model; None for commands that have none.
        config_file: the file given with `--config`.
        force: `--force` was given.
        output: takes the result.
    """

    config: Any
    config_file: Path | None
    force: bool
    output: Output

    @property
    def reporter(self) -> Reporter:
        """Where the stage tells what it is doing."""
        return self.output.reporter

    def claim(
        self,
        outputs: Sequence[tuple[Path, Written]],
        *,
        named: Sequence[tuple[Path, Written]] = (),
        inputs: Sequence[Path | None] = (),
        explicit: bool,
        resume: bool = False,
        interrupted: Callable[[], tuple[int, int] | None] | None = None,
    ) -> None:
        """Checks the output rules for files about to be written; see `outputs.claim_outputs`.

        Args:
            interrupted: asked for the steps done and planned of a run that the first output is of.
        """
        if self.output.mute:
            return
        data = getattr(self.config, "data", None)
        export = getattr(self.config, "export", None)
        read = [getattr(export, name, None) for name in ("calibration", "rules_file")]
        sources = [*inputs, self.config_file, getattr(data, "root", None), *read]
        claim_outputs(
            outputs, named=named, inputs=sources, explicit=explicit, resume=resume, force=self.force
        )
        if interrupted is not None and not resume and not self.force:
            keep_interrupted(outputs[0][0], interrupted())


def make_command(
    name: str, body: Callable[..., int | None], *, configured: bool, writes: bool
) -> Callable[..., None]:
    """The function that Typer makes a subcommand of.

    Args:
        body: called with an `Invocation` and its own arguments; it returns an exit code, or None for 0.
        configured, writes: see `late.Subcommand`.
    """
    own = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    parameters = [
        *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own),
        *_common_parameters(name if configured else None, writes),
        *(_flag_parameters(name) if configured else ()),
    ]

    def command(**arguments: Any) -> None:
        debug = bool(arguments["debug"])
        quiet_libraries(debug=debug)
        try:
            for value in arguments.values():
                refuse_pipes(value)
            invocation = _invocation(name if configured else None, arguments)
            code = body(invocation, **{parameter.name: arguments[parameter.name] for parameter in own})
            sys.stdout.flush()
        except (typer.Exit, typer.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            code = report(error, debug=debug)
        if code:
            raise typer.Exit(code)

    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _common_parameters(configured_as: str | None, writes: bool) -> list[inspect.Parameter]:
    options: list[tuple[str, Any, Any]] = []
    if configured_as is not None:
        options += [("config", ConfigOption, None), ("overrides", _set_option(configured_as), [])]
    if writes:
        options += [("force", ForceOption, False)]
    options += [
        ("json", JsonOption, False),
        ("quiet", QuietOption, False),
        ("verbose", VerboseOption, False),
        ("debug", DebugOption, False),
    ]
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, annotation, default in options
    ]


def _set_option(name: str) -> Any:
    from ..config.options import key_completer

    option = typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="set one configuration key, as in optimizer.lr=0.1; repeatable",
        autocompletion=key_completer(name),
    )
    return Annotated[list[str], option]


def _flag_parameters(name: str) -> list[inspect.Parameter]:
    from ..config.options import flags_of

    return [flag.signature_parameter() for flag in flags_of(name)]


def _check_names(config: Any) -> None:
    """Refuses what can be told to be a mistake at once: PyTorch takes seconds to load."""
    if hasattr(config, "model"):
        from ..config.model_names import check_model_name

        check_model_name(config.model.name)
    if hasattr(config, "data"):
        check_data(config.data)


def _invocation(configured_as: str | None, arguments: dict[str, Any]) -> Invocation:
    if arguments["quiet"] and arguments["verbose"]:
        raise UsageError("-q and -v contradict each other; give one of them")
    file = arguments.get("config")
    config = None
    if configured_as is not None:
        from ..config.loader import load_config
        from ..config.options import given_values

        flags = given_values(configured_as, arguments)
        config = load_config(configured_as, file=file, overrides=arguments["overrides"], flags=flags)
        _check_names(config)
    output = Output(
        as_json=arguments["json"], quiet=arguments["quiet"], verbose=arguments["verbose"], mute=follows()
    )
    return Invocation(config=config, config_file=file, force=arguments.get("force", False), output=output)
