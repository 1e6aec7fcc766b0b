"""`edgetrain finetune`."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..factories import Trusted
from ..runner import find_runner, how_to_build
from .command import Invocation, LossOption, ModelOption, WeightsOption
from .inputs import check_input
from .outputs import ends_in, given
from .pictures import picture_of, run_drawn
from .tables import Table
from .text import figure_text, file_text


def finetune(
    run: Invocation,
    program: Annotated[Path, typer.Argument(metavar="PROGRAM.pte", help="program from 'edgetrain export'")],
    weights: WeightsOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.ptd",
            help="tuned weights to write [dim]\\[default: PROGRAM.tuned.ptd][/dim]",
            callback=ends_in(),  # .ptd or .pte: the program decides
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with an interrupted run of the same output")
    ] = False,
    to_pth: Annotated[
        Path | None,
        typer.Option(
            "--to-pth",
            metavar="FILE.pth",
            help="also write the tuned model as a checkpoint",
            callback=ends_in(".pth"),
        ),
    ] = None,
    from_pth: Annotated[
        Path | None,
        typer.Option(
            "--from-pth",
            metavar="FILE.pth",
            help="checkpoint the program was exported from, for what --to-pth takes from it; default: found "
            "beside the program",
        ),
    ] = None,
    model: ModelOption = None,
    loss: LossOption = None,
) -> None:
    check_input("finetune", program, "program")
    check_input("finetune --weights", weights, "file of weights")
    check_input("finetune --from-pth", from_pth, "checkpoint")
    from .recorded_data import with_recorded_data

    run = with_recorded_data(run, program)
    from .. import finetuning

    tuned = output or finetuning.default_output(program)
    config = finetuning.with_runtime(run.config, tuned if resume else None)
    if not resume and run.config.finetune.runtime == "auto" == run.config.finetune.kernels:
        _tell_of_fallback(run)
    source = from_pth or (finetuning.source_beside(program) if to_pth else None)
    inputs = [program, weights, program.with_suffix(".ptd"), program.with_suffix(".json"), source]
    history = finetuning.history_path(tuned)
    picture = picture_of(history, config.finetune.picture)
    run.claim(
        [*finetuning.output_files(tuned).items(), *given(picture, "picture")],
        named=given(to_pth, "checkpoint"),
        inputs=inputs,
        explicit=output is not None,
        resume=resume,
        interrupted=lambda: finetuning.interrupted_after(tuned),
    )
    title = f"{program} on {config.data.name} ({_runtime(config.finetune)}): {tuned}"
    with run_drawn(run, history, picture, title):
        result = finetuning.finetune(
            config,
            program,
            tuned,
            weights=weights,
            resume=resume,
            to_pth=to_pth,
            from_pth=from_pth,
            trusted=Trusted(model, loss),
            reporter=run.reporter,
        )
    run.output.result(
        Table(
            f"fine-tuned {program} ({_runtime(config.finetune)})",
            list(_rows(result, picture)),
            ("", "before", "after"),
        ),
        {
            "command": "finetune",
            "weights": result.weights,
            "history_path": result.history_path,
            "picture": picture,
            "state_path": result.state_path,
            "checkpoint": result.checkpoint,
            "before": _evaluation(result.before),
            "after": _evaluation(result.after),
            "history": result.history,
        },
    )


def _runtime(settings: Any) -> str:
    return f"executorch, {settings.kernels} kernels" if settings.runtime == "executorch" else settings.runtime


def _rows(result: Any, picture: Path | None) -> Iterator[tuple[str, str, str]]:
    before, after = _evaluation(result.before), _evaluation(result.after)
    shares = {metric.name for metric in result.history.metrics if metric.is_share}
    for name in after:
        show = functools.partial(figure_text, is_share=name in shares)
        yield name.replace("_", " "), show(before.get(name)), show(after.get(name))
    if result.history.best_epoch is not None:
        yield "best epoch", "", str(result.history.best_epoch)
    yield "time per sample", "", _sample_time(result.history)
    yield "weights", "", file_text(result.weights)
    if result.checkpoint:
        yield "checkpoint", "", file_text(result.checkpoint)
    yield "history", "", file_text(result.history_path)
    if picture is not None:
        yield "picture", "", file_text(picture)
    yield "to resume from", "", file_text(result.state_path)


def _evaluation(evaluation: Any) -> dict[str, float | None]:
    """Every metric; the loss is null where nothing was evaluated."""
    return {"loss": None, **getattr(evaluation, "figures", {})}


def _sample_time(history: Any) -> str:
    """The mean over the epochs that were timed."""
    times = [
        epoch.train_time_per_sample_s for epoch in history.epochs if epoch.train_time_per_sample_s is not None
    ]
    return f"{1000 * sum(times) / len(times):.3g} ms" if times else "–"


def _tell_of_fallback(run: Invocation) -> None:
    """Nobody who expects the runner's speed and memory should have to find out why they are others."""
    if find_runner() is None:
        run.reporter.warn(f"the native runner is not installed, so executorch trains; {how_to_build()}")
