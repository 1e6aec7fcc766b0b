"""The export stage: checkpoint in; program, weights and manifest out, verified before they are kept."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path

from ..artifacts.atomic import write_text
from ..artifacts.checkpoint import load_checkpoint
from ..artifacts.commit import check_writable, written_together
from ..artifacts.contract import BACKBONE
from ..artifacts.manifest import Manifest, Verification
from ..artifacts.memory import chart
from ..artifacts.program_files import program_files
from ..config.stages import ExportCommand
from ..engine.optimizers import check_groups
from ..engine.threads import one_thread
from ..errors import UsageError
from ..factories import NOTHING, Trusted
from ..models.transforms.observers import float_checkpoint
from ..models.trusted import load_trusted_model
from ..reporting import SILENT, Reporter
from ..runtimes.child import Started
from ..runtimes.steps import prepare
from ..tasks import make_task
from .backbone.delegation import describe_delegation
from .batches import Batch, MakeBatch, batch_maker
from .budget import Chosen, choose_update
from .calibration import calibration_samples
from .contract import make_contract
from .effects import check_effects
from .memory.timeline import MemoryTimeline, describe, record_of
from .pipeline import Lowered, Subject, Written
from .planning import plan_program, plan_step
from .preflight import check_gradients_reach
from .recipes import training_recipe
from .stations import EXPORT, Done, ignore, shown
from .step_memory import step_memory
from .updates import allowed_parameters, prepare_update
from .updates.scheme import Scheme, read_scheme
from .verification import verification_sizes, verify
from .writing import write

_SUFFIXES = {"weights": ".ptd", "program": ".pte", "manifest": ".json"}


@dataclass(frozen=True)
class ExportResult:
    """What was written, and what was found out on the way.

    Attributes:
        weights: None where they are inside the program.
        timelines: what lives when in each method's arena of activations.
        chosen: what a budget was searched for; its rules lie in `rules`. None where no budget is given.
    """

    program: Path
    weights: Path | None
    manifest_path: Path
    manifest: Manifest
    verification: Verification
    timelines: dict[str, MemoryTimeline]
    chosen: Chosen | None = None
    rules: Path | None = None


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
    for path in program_files(output, config.export):
        check_writable(path)
    return export_subject(load_subject(config, checkpoint, trusted), output, reporter=reporter)


def load_subject(config: ExportCommand, checkpoint: Path, trusted: Trusted) -> Subject:
    """The model of a checkpoint, built and filled.

    Raises:
        InputError: the checkpoint is unusable.
    """
    source = float_checkpoint(load_checkpoint(checkpoint))
    module = load_trusted_model(source, trusted, source=str(checkpoint))
    task = make_task(source.task, trusted, source=str(checkpoint))
    return Subject(module, task, source, config, origin=str(checkpoint), path=checkpoint)


@one_thread()
def export_subject(
    subject: Subject, output: Path, *, reporter: Reporter = SILENT, done: Done = ignore
) -> ExportResult:
    """Exports a model that is built already.

    Args:
        done: told of every station.
    Raises:
        as `export`.
    """
    settings, paths = subject.settings, _paths(output)
    recipe, make_batch = training_recipe(subject.config), batch_maker(subject)
    samples = calibration_samples(subject, reporter, with_targets=settings.budget is not None)
    few, _ = verification_sizes(settings.batch_norm, settings.planned_batch_size)
    example = make_batch(0, few[0])
    chosen = _choose(subject, samples, example, make_batch, reporter)
    scheme = read_scheme(settings.update) if chosen is None else chosen.scheme
    with (
        shown(reporter, "exporting", EXPORT, done) as reached,
        written_together(output) as folder,
        Started(prepare) as started,
    ):
        subject = prepared(subject, scheme, example, reporter)
        reached("prepared")
        lowered = plan_program(subject, example, samples, reached)
        if BACKBONE in lowered.edge.joint.graphs:
            reporter.detail(describe_delegation(lowered))
        _report_memory(lowered, reporter)
        contract = make_contract(lowered, subject, recipe)
        written = write(lowered, contract, subject, recipe, folder / output.name)
        reached("written")
        verified = verify(written, subject, make_batch, lowered.edge.joint.quantized, started)
        reached("verified")
        _report(verified.verification, settings.planned_batch_size, reporter)
        if chosen is not None:
            write_text(folder / rules_path(output).name, chosen.file)
    manifest = verified.program.manifest
    weights = paths["weights"] if manifest.weights else None
    return ExportResult(
        paths["program"],
        weights,
        paths["manifest"],
        manifest,
        verified.verification,
        lowered.timelines,
        chosen,
        None if chosen is None else rules_path(output),
    )


@dataclass(frozen=True)
class Unverified:
    """A program that nobody has compared with its model yet.

    Attributes:
        subject: the model as it was exported, with those parameters that are trained requiring gradients.
    """

    subject: Subject
    lowered: Lowered
    written: Written


@one_thread()
def write_unverified(
    subject: Subject, output: Path, make_batch: MakeBatch, *, reporter: Reporter = SILENT, done: Done = ignore
) -> Unverified:
    """Exports a model for a caller who compares the program with it himself. No budget is searched for.

    Args:
        output: as in `export`; its folder exists.
        make_batch: as `batch_maker` gives it.
        done: told of every station.
    Raises:
        UsageError, CheckFailedError: as `export`.
    """
    settings = subject.settings
    few, _ = verification_sizes(settings.batch_norm, settings.planned_batch_size)
    example = make_batch(0, few[0])
    subject = prepared(subject, read_scheme(settings.update), example, reporter)
    done("prepared")
    lowered = plan_program(subject, example, None, done)
    recipe = training_recipe(subject.config)
    written = write(lowered, make_contract(lowered, subject, recipe), subject, recipe, output)
    done("written")
    return Unverified(subject, lowered, written)


def rules_path(output: Path) -> Path:
    """Where the rules that a budget was searched for are written."""
    return output.with_name(output.name + ".update.yaml")


def _choose(
    subject: Subject, samples: Batch | None, example: Batch, make_batch: MakeBatch, reporter: Reporter
) -> Chosen | None:
    """What is trained under the budget, where one is given."""
    if subject.settings.budget is None:
        return None
    check_groups(subject.config.optimizer, allowed_parameters(subject.module, subject.settings))
    # A group may be one that a set doesn't train; it takes no memory.
    optimizer = subject.config.optimizer.model_copy(update={"groups": {}})
    config = subject.config.model_copy(update={"optimizer": optimizer})

    def plan(scheme: Scheme) -> int:
        fresh = replace(subject, module=copy.deepcopy(subject.module), config=config)
        ready = prepared(fresh, scheme, example, SILENT)
        return step_memory(plan_step(ready, example, samples), subject.config).total

    return choose_update(subject, samples, make_batch, plan, reporter)


def prepared(subject: Subject, scheme: Scheme, example: Batch, reporter: Reporter) -> Subject:
    """A model, which is changed, ready for its update."""
    transforms = prepare_update(subject.module, example.inputs, subject.settings, reporter, scheme)
    if transforms and subject.settings.backbone != "none":
        raise UsageError(
            f"--backbone takes over layers that are frozen whole, but {transforms[0].module} is trained in "
            "part; leave --backbone out, or train whole layers"
        )
    subject = replace(subject, transforms=transforms, rules=scheme.rules)
    check_gradients_reach(subject, example, reporter)
    check_effects(subject, example)
    if subject.settings.update_in_graph != "off":
        trained = [name for name, parameter in subject.module.named_parameters() if parameter.requires_grad]
        check_groups(subject.config.optimizer, trained)
    return subject


def _paths(output: Path) -> dict[str, Path]:
    return {kind: output.with_name(output.name + suffix) for kind, suffix in _SUFFIXES.items()}


def _report_memory(lowered: Lowered, reporter: Reporter) -> None:
    for note in lowered.edge.notes:
        reporter.detail(note)
    for timeline in lowered.timelines.values():
        if timeline.steps:
            reporter.detail(describe(timeline))
    reporter.detail("\n".join(chart(record_of(lowered.timelines["train"]).stretches)))


def _report(found: Verification, largest: int, reporter: Reporter) -> None:
    if max(found.batch_sizes) < largest:
        reporter.warn(
            f"verified with batches of up to {max(found.batch_sizes)} only: a larger one would take too long "
            "in this runtime"
        )
    if found.stock_batch_sizes is not None:
        sizes = ", ".join(map(str, found.stock_batch_sizes))
        reporter.info(
            f"verified in ExecuTorch's own kernels with batches of {sizes} only, since larger ones take too "
            "long in these; in edgetrain's with all"
        )
    if found.sensitivity is not None:
        reporter.warn(
            f"this model's results move by {found.sensitivity:.0e} under rounding alone, so that they could "
            "be compared no finer than that"
        )
