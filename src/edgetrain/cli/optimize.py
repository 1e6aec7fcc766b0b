"""`edgetrain optimize`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..factories import Trusted
from .command import Invocation, LossOption, ModelOption
from .inputs import check_input
from .outputs import default_output
from .tables import Table
from .text import figure_text, file_text, number_text


def optimize(
    run: Invocation,
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="model.pth from 'edgetrain train'")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="a .pth, or the .pte of an int8 program alone "
            "[dim]\\[default: CHECKPOINT.optimized.pth][/dim]",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with an interrupted run of the same output")
    ] = False,
    model: ModelOption = None,
    loss: LossOption = None,
) -> None:
    check_input("optimize", checkpoint, "checkpoint")
    target = output or default_output(checkpoint, ".optimized.pth")
    if target.suffix not in (".pth", ".pte"):
        raise UsageError(f"{target} ends in neither .pth nor .pte; name a checkpoint, or an int8 program")
    from .recorded_data import with_data_of_checkpoint

    run, with_data = with_data_of_checkpoint(run, checkpoint)
    from .. import optimize as stage

    settings = run.config.optimize
    run.claim(
        list(stage.output_files(run.config, target).items()),
        inputs=[checkpoint, settings.calibration, settings.surgery_rules],
        explicit=output is not None,
        resume=resume,
    )
    result = stage.optimize(
        run.config,
        checkpoint,
        target,
        with_data=with_data,
        resume=resume,
        trusted=Trusted(model, loss),
        reporter=run.reporter,
    )
    run.output.result(
        Table(
            f"optimized {checkpoint}",
            list(_rows(result.report)),
            _columns(result.report),
            [*_notes(result.report.details), *_files(result)],
        ),
        {
            "command": "optimize",
            "checkpoint": result.checkpoint,
            "program": result.program,
            "plot": result.plot,
            "report_path": result.report_path,
            "report": result.report,
        },
    )


def _metrics(report: Any) -> list[str]:
    return [name for name in report.steps[0].figures if name != "loss"]


def _columns(report: Any) -> list[str]:
    metrics = [name.replace("_", " ") for name in _metrics(report)]
    return ["step", *metrics, "parameters", "zeros", "multiply-adds", "program", "latency"]


def _rows(report: Any) -> Iterator[list[str]]:
    for step in report.steps:
        yield [
            step.step,
            *(figure_text(step.figures.get(name), is_share=True) for name in _metrics(report)),
            f"{step.parameters:,}",
            f"{step.zeros / max(1, step.parameters):.0%}",
            f"{step.multiply_adds / 1e6:.2f} M",
            f"{step.program_bytes / 1e6:.3f} MB",
            f"{number_text(step.latency_ms, 3)} ms",
        ]


def _notes(details: dict[str, Any]) -> Iterator[str]:
    """What the steps did, a line each where there is little to say."""
    for change in details.get("surgery", {}).get("replaced", []):
        rule = f" ({change['rule']})" if change["old"] == change["new"] else ""
        yield f"surgery: {change['times']} x {change['old']} → {change['new']}{rule}"
    if "surgery" in details and not details["surgery"]["replaced"]:
        yield "surgery: there was nothing to replace"
    layers = details.get("pruning", {}).get("layers", [])
    if layers and layers[0]["pattern"] == "channel":
        shapes = [
            f"{layer['layer']} {layer['before'][0]} → {layer['after'][0]}"
            for layer in layers
            if layer["before"][0] != layer["after"][0]
        ]
        yield f"channels: {_listed(shapes)}"
    elif layers:
        shares = [f"{layer['layer']} {layer['zeros']:.0%}" for layer in layers]
        yield f"zeros: {_listed(shares)}"
    rounding = details.get("quantization")
    if rounding:
        noise = {layer["name"]: layer["alone_db"] for layer in rounding["layers"] if layer["alone_db"]}
        worst = [f"{name} {noise[name]:.1f} dB" for name in sorted(noise, key=noise.__getitem__)[:3]]
        sqnr = [f"{name} {db:.1f} dB" for name, db in rounding["sqnr_db"].items() if db is not None]
        same = rounding["agreement"]
        told = [] if same is None else [f"{same:.1%} of the classes are the float model's"]
        yield f"rounding: {', '.join([*told, *sqnr])}; hurts most in {', '.join(worst)}"


def _listed(items: list[str], most: int = 8) -> str:
    more = f" and {len(items) - most} more layers" if len(items) > most else ""
    return ", ".join(items[:most]) + more


def _files(result: Any) -> Iterator[str]:
    for path in (result.checkpoint, result.program, result.plot, result.report_path):
        if path is not None:
            yield f"wrote {file_text(path)}"
