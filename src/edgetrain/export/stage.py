"""The export stage: checkpoint in; program, weights and manifest out, verified before they are kept."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ..artifacts.atomic import check_writable, sync_folder
from ..artifacts.checkpoint import Checkpoint, load_checkpoint
from ..artifacts.manifest import Manifest, Verification
from ..config.stages import ExportCommand
from ..errors import InputError
from ..factories import NOTHING, Trusted
from ..models.trusted import build_trusted_model
from ..reporting import SILENT, Reporter
from ..tasks import make_task
from .batches import batch_maker
from .capture import capture
from .contract import make_contract
from .edge import to_edge_dialect
from .joint import make_joint
from .lowering import lower
from .pipeline import Captured, Lowered, Recipe, Subject, Verified
from .preflight import check_gradients_reach, check_operators, choose_trainable
from .recipes import training_recipe
from .verification import verification_sizes, verify
from .writing import write

_SUFFIXES = {"weights": ".ptd", "program": ".pte", "manifest": ".json"}


@dataclass(frozen=True)
class ExportResult:
    """The files written. `weights` is None where they are inside the program."""

    program: Path
    weights: Path | None
    manifest_path: Path
    manifest: Manifest
    verification: Verification


def export(
    config: ExportCommand,
    checkpoint: Path,
    output: Path,
    *,
    trusted: Trusted = NOTHING,
    reporter: Reporter = SILENT,
) -> ExportResult:
    """Exports a checkpoint as NAME.pte, NAME.ptd (unless weights are inline) and NAME.json.

    Args:
        output: DIR/NAME without a suffix.
        trusted: the code of model and loss that the caller vouches for, where the checkpoint names some.
    Raises:
        InputError: the checkpoint is unusable.
        UsageError: the configuration doesn't fit the model.
        CheckFailedError: the model can't be trained on a device, or the program computes something else
            than PyTorch; nothing is written then.
    """
    for path in _paths(output).values():
        check_writable(path)
    source = load_checkpoint(checkpoint)
    module = _build(source, trusted, checkpoint)
    task = make_task(source.task, trusted, source=str(checkpoint))
    subject = Subject(module, task, source, config, origin=str(checkpoint), path=checkpoint)
    return export_subject(subject, output, reporter=reporter)


def export_subject(subject: Subject, output: Path, *, reporter: Reporter = SILENT) -> ExportResult:
    """Exports a model that is built already.

    Raises:
        as `export`.
    """
    settings, paths = subject.settings, _paths(output)
    recipe, make_batch = training_recipe(settings), batch_maker(subject)
    with (
        reporter.progress("exporting", total=5) as progress,
        tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=output.parent) as folder,
    ):
        few, _ = verification_sizes(settings.batch_norm, settings.max_batch_size)
        example = make_batch(0, few[0])
        choose_trainable(subject.module, settings.trainable)
        check_gradients_reach(subject, example, reporter)
        progress.advance(now="capture")
        captured = capture(subject, example)
        progress.advance(now="lowering")
        lowered = lower_captured(captured, recipe, subject.origin)
        progress.advance(now="writing")
        contract = make_contract(lowered, subject, recipe)
        written = write(lowered, contract, subject, recipe, Path(folder) / output.name)
        progress.advance(now="verifying")
        verified = verify(written, subject, make_batch)
        _report(verified.verification, settings.max_batch_size, reporter)
        _move_into_place(verified, paths)
        progress.advance(now="done")
    manifest = verified.program.manifest
    weights = paths["weights"] if manifest.weights else None
    return ExportResult(paths["program"], weights, paths["manifest"], manifest, verified.verification)


def lower_captured(captured: Captured, recipe: Recipe, origin: str) -> Lowered:
    """From captured graphs to a program ready to be written.

    Raises:
        CheckFailedError: the runtime can't execute it; says what and where.
    """
    joint = make_joint(captured)
    for step in recipe.steps:
        joint = step(joint)
    edge = to_edge_dialect(joint, recipe, origin)
    check_operators(edge, recipe, origin)
    return lower(edge, recipe)


def _paths(output: Path) -> dict[str, Path]:
    return {kind: output.with_name(output.name + suffix) for kind, suffix in _SUFFIXES.items()}


def _build(source: Checkpoint, trusted: Trusted, path: Path) -> nn.Module:
    module = build_trusted_model(source.model, trusted, source=str(path))
    try:
        module.load_state_dict(source.state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise InputError(f"{path} does not fit the model {source.model.name}: {lines[-1].strip()}") from error
    return module


def _report(found: Verification, largest: int, reporter: Reporter) -> None:
    if max(found.batch_sizes) < largest:
        reporter.warn(
            f"verified with batches of up to {max(found.batch_sizes)} only: a larger one would take too long "
            "in this runtime"
        )
    if found.sensitivity is not None:
        reporter.warn(
            f"this model's results move by {found.sensitivity:.0e} under rounding alone, so that they could "
            "be compared no finer than that"
        )


def _move_into_place(verified: Verified, paths: dict[str, Path]) -> None:
    """Renames the finished files; the manifest last, since it says which others belong together."""
    program = verified.program
    for kind, suffix in _SUFFIXES.items():
        if kind == "weights" and program.weights is None:
            continue
        source = program.path.with_suffix(suffix)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        source.replace(paths[kind])
    sync_folder(paths["program"].parent)
