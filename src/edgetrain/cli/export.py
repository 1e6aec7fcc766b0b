"""`edgetrain export`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..factories import Trusted
from .command import Invocation, LossOption, ModelOption
from .console import Table, file_text, number_text, plain, size_text
from .inputs import check_input
from .outputs import default_output, program_files


def export(
    run: Invocation,
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="model.pth from 'edgetrain train'")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR/NAME",
            help="write DIR/NAME.pte, .ptd and .json [dim]\\[default: like the checkpoint][/dim]",
        ),
    ] = None,
    model: ModelOption = None,
    loss: LossOption = None,
) -> None:
    """Lower a checkpoint with its backward graph to ExecuTorch, and verify the result against PyTorch."""
    check_input("export", checkpoint, "checkpoint")
    stem = _stem(output) if output else default_output(checkpoint)
    run.claim(program_files(stem, run.config), inputs=[checkpoint], explicit=output is not None)
    from .. import export as stage

    trusted = Trusted(model, loss)
    result = stage.export(run.config, checkpoint, stem, trusted=trusted, reporter=run.reporter)
    manifest = plain(result.manifest)
    run.output.result(
        Table(f"exported {checkpoint}", list(_rows(result, manifest))),
        {
            "command": "export",
            "program": result.program,
            "weights": result.weights,
            "manifest_path": result.manifest_path,
            "verification": result.verification,
            "manifest": manifest,
        },
    )


def _stem(output: Path) -> Path:
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name the files in it too, as in -o {output / 'model'}")
    if output.suffix in (".pth", ".ptd", ".json"):
        raise UsageError(f"-o {output} must name a program; write -o {output.with_suffix('.pte')}")
    return output.with_suffix("") if output.suffix == ".pte" else output


def _rows(result: Any, manifest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "program", file_text(result.program)
    yield "weights", file_text(result.weights) if result.weights else "inside the program"
    yield "manifest", file_text(result.manifest_path)
    trainable, total = _parameter_counts(manifest["contract"]["tensors"])
    yield "parameters", f"{total:,} ({trainable:,} trainable)"
    for name, method in manifest["contract"]["methods"].items():
        arenas = method["arena_bytes"]
        yield f"memory of {name}", " + ".join(map(size_text, arenas))
    yield "verified against PyTorch", _verification(result.verification)


def _verification(found: Any) -> str:
    errors = {
        "loss": found.loss,
        "gradients": found.gradients,
        "weights after 3 SGD steps": found.weights_after_steps,
        "predict after them": found.predict_after_steps,
    }
    sizes = ", ".join(map(str, found.batch_sizes))
    shown = ", ".join(f"{name} {number_text(e, 2)}" for name, e in errors.items())
    return f"relative errors: {shown} (batches of {sizes}; kernels: {', '.join(found.kernels)})"


def _parameter_counts(tensors: list[dict[str, Any]]) -> tuple[int, int]:
    """Numbers of trainable and of all parameters; buffers are neither."""
    parameters = [tensor for tensor in tensors if tensor["kind"] == "parameter"]
    trainable = sum(math.prod(tensor["shape"]) for tensor in parameters if tensor["update"] != "none")
    return trainable, sum(math.prod(tensor["shape"]) for tensor in parameters)
