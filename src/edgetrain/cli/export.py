"""`edgetrain export`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from ..factories import Trusted
from ..reporting import megabytes
from .build_runner import document, rows
from .command import Invocation, LossOption, ModelOption
from .compare_updates import compare_updates
from .console import plain
from .export_weights import export_weights
from .inputs import check_input
from .outputs import default_output, ends_in, given
from .tables import Table
from .text import file_text, number_text


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
    runner: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="also build a native runner for this program alone, like 'edgetrain build-runner'",
        ),
    ] = None,
    memory_plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            callback=ends_in(".png"),
            help="draw what lives in memory while each method runs; with --compare-updates, memory against "
            "trained parameters",
        ),
    ] = None,
    comparing: Annotated[
        bool,
        typer.Option(
            "--compare-updates",
            help="write no program, but tell the memory of full, bias, head, some last:K and the given "
            "--update; with --calibration, also how well a short fine-tuning does",
        ),
    ] = False,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHAPE",
            help="of weights that are no checkpoint of edgetrain, with --model: shape of an input without "
            "batch, as in 3,32,32 or 16:int64; repeat it for more inputs",
        ),
    ] = None,
    model: ModelOption = None,
    loss: LossOption = None,
) -> None:
    if input_shape:
        stem = _stem(output) if output else default_output(checkpoint)
        export_weights(run, checkpoint, stem, model=model, shapes=input_shape, explicit=output is not None)
        return
    check_input("export", checkpoint, "checkpoint")
    trusted = Trusted(model, loss)
    if comparing:
        if output or runner:
            raise UsageError(
                f"--compare-updates writes no program; leave out {'-o' if output else '--runner'}"
            )
        compare_updates(run, checkpoint, trusted, memory_plot)
        return
    stem = _stem(output) if output else default_output(checkpoint)
    from ..artifacts.program_files import program_files

    run.claim(
        list(program_files(stem, run.config.export).items()),
        named=given(memory_plot, "picture"),
        inputs=[checkpoint],
        explicit=output is not None,
    )
    from .. import export as stage
    from ..export.memory.plot import plot_memory
    from ..runtimes.native_build import RUNNER, build_runner

    if runner:
        run.claim([(runner / RUNNER, "native runner")], explicit=True)
    result = stage.export(run.config, checkpoint, stem, trusted=trusted, reporter=run.reporter)
    if memory_plot:
        plot_memory(list(result.timelines.values()), memory_plot)
    built = build_runner([result.program], runner, reporter=run.reporter) if runner else None
    manifest = plain(result.manifest)
    plotted = [("plot of the memory", file_text(memory_plot))] if memory_plot else []
    run.output.result(
        Table(
            f"exported {checkpoint}", [*_rows(result, manifest), *plotted, *(rows(built) if built else [])]
        ),
        {
            "command": "export",
            "program": result.program,
            "weights": result.weights,
            "manifest_path": result.manifest_path,
            "rules": result.rules,
            "update": None if result.chosen is None else plain(vars(result.chosen)),
            "memory_plot": memory_plot,
            "verification": result.verification,
            "manifest": manifest,
            "runner": document(built) if built else None,
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
    if result.chosen is not None:
        yield "rules", file_text(result.rules)
        yield "update", _update_text(result.chosen)
    contract = manifest["contract"]
    trainable, total = _parameter_counts(contract["tensors"])
    yield "parameters", f"{total:,} ({trainable:,} trainable)"
    yield from _memory_rows(contract, mapped=result.weights is not None)
    yield "verified against PyTorch", _verification(result.verification)


def _update_text(chosen: Any) -> str:
    """What a search under a budget chose."""
    trained = ", ".join(f"{rule.pattern} {rule.train}" for rule in chosen.rules)
    return (
        f"{trained} ({megabytes(chosen.planned)} of {megabytes(chosen.budget)}, predicted "
        f"{megabytes(chosen.predicted)})"
    )


def _memory_rows(contract: dict[str, Any], *, mapped: bool) -> Iterator[tuple[str, str]]:
    """What is planned for each method by itself, then what all of them share.

    Args:
        mapped: the weights are in a file of their own.
    """
    for name, method in contract["methods"].items():
        if method["arena_bytes"][0]:
            yield f"activations of {name}", megabytes(method["arena_bytes"][0])
    states = [tensor for tensor in contract["tensors"] if tensor["kind"] == "optimizer_state"]
    weights = [tensor for tensor in contract["tensors"] if tensor["kind"] != "optimizer_state"]
    yield "weights that change", _bytes_text(t for t in weights if t["update"] != "none")
    yield "optimizer state", _bytes_text(states)
    where = "mapped" if mapped else "in the program"
    yield f"frozen weights ({where})", _bytes_text(t for t in weights if t["update"] == "none")


def _bytes_text(tensors: Iterable[dict[str, Any]]) -> str:
    from ..artifacts.tensors import ITEM_BYTES

    sizes = [math.prod(t["shape"]) * ITEM_BYTES[t["dtype"]] for t in tensors]
    return megabytes(sum(sizes)) if sizes else "none"


def _verification(found: Any) -> str:
    errors = {
        "loss": found.loss,
        "gradients": found.gradients,
        "weights after 3 steps": found.weights_after_steps,
        "predict after them": found.predict_after_steps,
    }
    sizes = ", ".join(map(str, found.batch_sizes))
    kernels = {name: name for name in found.kernels}
    if found.stock_batch_sizes is not None:
        kernels["stock"] += f" for {', '.join(map(str, found.stock_batch_sizes))}"
    shown = ", ".join(f"{name} {number_text(e, 2)}" for name, e in errors.items() if e is not None)
    said = f"relative errors: {shown} (batches of {sizes}; kernels: {', '.join(kernels.values())})"
    if found.features_sqnr is not None:
        said += f"; SQNR of the int8 features {found.features_sqnr:.1f} dB"
    return said


def _parameter_counts(tensors: list[dict[str, Any]]) -> tuple[int, int]:
    """Numbers of trainable and of all parameters; buffers are neither."""
    parameters = [tensor for tensor in tensors if tensor["kind"] == "parameter"]
    trainable = sum(math.prod(tensor["shape"]) for tensor in parameters if tensor["update"] != "none")
    return trainable, sum(math.prod(tensor["shape"]) for tensor in parameters)
