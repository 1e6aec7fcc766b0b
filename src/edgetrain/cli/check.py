"""`edgetrain check`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import CheckFailedError, UsageError
from ..reporting import megabytes
from .command import Invocation
from .console import plain
from .inputs import check_input
from .tables import Table
from .text import number_text

# Parameters that the table shows.
_WORST = 3
_GROUPS = {"loss": "loss", "gradients": "gradients", "steps": "steps", "predict": "predict"}


def check(
    run: Invocation,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="digits_cnn or another of edgetrain's, torchvision:NAME, package.module:factory, or a "
            "checkpoint (.pth)",
        ),
    ],
) -> int | None:
    config, checkpoint = _chosen(run.config, model)
    from .. import checking as stage

    report = stage.check(config, checkpoint, reporter=run.reporter)
    run.output.result(
        result_table(report.model, report),
        {"command": "check", "right": report.right, "ratio": report.ratio, **plain(report)},
    )
    return None if report.right else CheckFailedError.exit_code


def result_table(title: str, report: Any) -> Table:
    """What was found, for people."""
    return Table(f"{title}: {_verdict(report)}", list(_rows(report)), below=list(_worst_gradients(report)))


def _chosen(config: Any, model: str) -> tuple[Any, Path | None]:
    """The configuration with the model it is about, and the checkpoint, where it is one."""
    path = Path(model)
    if path.suffix == ".pth" or (path.is_file() and path.suffix != ".py"):
        check_input("check", path, "checkpoint")
        return config, path
    from ..config.model_names import check_model_name

    check_model_name(model)
    named = config.model.name
    if "name" in config.model.model_fields_set and named != model:
        raise UsageError(f"check takes one model; name {model} or {named}")
    return config.model_copy(update={"model": config.model.model_copy(update={"name": model})}), None


def _verdict(report: Any) -> str:
    if not report.exports:
        return "can't be trained on a device"
    return "right" if report.right else "WRONG"


def _rows(report: Any) -> Iterator[tuple[str, str]]:
    yield "inputs", ", ".join(f"{name} {dtype} {shape}" for name, (*shape, dtype) in report.inputs.items())
    yield "task", f"{report.task} ({report.loss}), batch norm {report.batch_norm}"
    yield "parameters", f"{report.parameters:,}"
    if report.reason is not None:
        yield "exports" if not report.exports else "ended", report.reason
    if report.export_seconds:
        stations = ", ".join(f"{name} {number_text(s, 2)}" for name, s in report.export_seconds.items())
        yield "export [s]", f"{number_text(sum(report.export_seconds.values()), 3)} ({stations})"
    if report.operators:
        yield "operators", _operators(report)
    for found in report.runs:
        whose = {"fast": "edgetrain's kernels", "stock": "ExecuTorch's kernels"}[found.kernels]
        samples = f"batch {found.batch_size}, {found.steps} step{'s' if found.steps > 1 else ''}"
        yield f"{found.runtime}, {whose}, {samples}", _errors(found)
    if report.step_ms:
        times = ", ".join(f"{name} {number_text(ms, 3)}" for name, ms in report.step_ms.items())
        ratio = "" if report.ratio is None else f": {number_text(report.ratio, 2)} of PyTorch's time"
        yield "step [ms]", f"{times}{ratio}"
    if report.arena_bytes:
        yield "planned memory", ", ".join(f"{n} {megabytes(b)}" for n, b in report.arena_bytes.items())
    for note in report.notes:
        yield "note", note


def _operators(report: Any) -> str:
    stock = report.stock_operators
    if stock is None:
        return str(len(report.operators))
    where = f"on ExecuTorch's kernels: {', '.join(stock)}" if stock else "all on edgetrain's kernels"
    return f"{len(report.operators)}, {where}"


def _errors(found: Any) -> str:
    """The worst error of each group, and what is wrong."""
    parts = []
    for group in _GROUPS:
        worst = found.worst(group)
        if worst is not None:
            name, compared = worst
            wrong = "" if compared.right else f" WRONG ({name}, allowed {number_text(compared.allowed, 2)})"
            parts.append(f"{group} {number_text(compared.error, 2)}{wrong}")
    return ", ".join(parts)


def _worst_gradients(report: Any) -> Iterator[str]:
    """Those of our kernels that come nearest to being wrong, or are."""
    found: dict[str, Any] = {}
    for done in report.runs:
        for name, compared in done.groups["gradients"].items():
            known = found.get(name)
            if known is None or compared.error / compared.allowed > known.error / known.allowed:
                found[name] = compared
    worst = sorted(found, key=lambda name: -found[name].error / found[name].allowed)[:_WORST]
    if worst:
        yield "gradients nearest to their limit (error, PyTorch's own, limit):"
    for name in worst:
        compared = found[name]
        numbers = (number_text(x, 2) for x in (compared.error, compared.own, compared.allowed))
        yield f"  {name}  {'  '.join(numbers)}"
