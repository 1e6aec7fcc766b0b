"""`edgetrain finetune`: a program and a device's data in, tuned weights out."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..artifacts.atomic import check_writable
from ..artifacts.checkpoint import Checkpoint, save_checkpoint
from ..artifacts.history import EpochRecord, History, save_history
from ..artifacts.manifest import load_manifest, manifest_path
from ..artifacts.program import Program, load_program
from ..config.optimizer import ScheduleConfig
from ..config.stages import FinetuneCommand
from ..data import BatchLoader, Dataset, fingerprint, load_dataset
from ..data.checks import check_fits
from ..engine.interrupt import catch_interrupts
from ..engine.memory import peak_rss_bytes
from ..engine.run_state import RunState
from ..engine.schedules import count_steps, depends_on_length
from ..engine.seeding import get_random_state, seed_everything, set_random_state
from ..errors import UsageError
from ..models.trusted import build_trusted_model
from ..reporting import SILENT, Reporter
from ..runtimes import open_session
from .loop import Finetuner
from .state import SavedRun, check_same_run, load_run, save_run, state_path


@dataclass(frozen=True)
class Evaluation:
    """How good the weights are on the test split. Accuracy is None for a regression."""

    loss: float
    accuracy: float | None


@dataclass(frozen=True)
class FinetuneResult:
    """What a run left behind.

    Attributes:
        weights: the tuned .ptd (or .pte, where weights are inline).
        state_path: what `--resume` goes on from.
        checkpoint: the .pth the tuned weights were folded into, if asked for.
        before, after: validation with the first and the last weights of the run.
    """

    weights: Path
    history_path: Path
    history: History
    state_path: Path
    checkpoint: Path | None
    before: Evaluation | None
    after: Evaluation


def default_output(program: Path) -> Path:
    """`NAME.tuned.ptd` beside NAME.pte; `NAME.tuned.pte` where the program carries its weights."""
    beside = manifest_path(program)
    inline = beside.is_file() and load_manifest(beside).weights is None
    return program.with_name(f"{program.stem}.tuned{'.pte' if inline else '.ptd'}")


def output_files(output: Path, to_pth: Path | None = None) -> list[Path]:
    """Every file a run with these outputs writes."""
    program = [manifest_path(output)] if output.suffix == ".pte" else []
    checkpoint = [to_pth] if to_pth else []
    return [output, *program, _history_path(output), state_path(output), *checkpoint]


def finetune(
    config: FinetuneCommand,
    program: Path,
    output: Path,
    *,
    weights: Path | None = None,
    resume: bool = False,
    to_pth: Path | None = None,
    model: str | None = None,
    reporter: Reporter = SILENT,
) -> FinetuneResult:
    """Trains an exported program further.

    Beside `output` it writes `<stem>.history.json` and `<stem>.state.pth`, after every epoch.

    Args:
        weights: start from this .ptd rather than the one the program was exported with.
        resume: go on from `<stem>.state.pth`; without dropout the result is, bit by bit, that of a run
            without interruption.
        to_pth: also fold the tuned weights back into a checkpoint for the server.
        model: the `package.module:factory` the caller trusts, where torch has to build one.
    Raises:
        InputError: program, weights or data are damaged or don't fit each other.
        UsageError: the settings don't fit the program.
        CheckFailedError: the loss is not finite.
        InterruptedRun: Ctrl-C or SIGTERM; everything is saved.
    """
    loaded = load_program(program, weights)
    manifest = loaded.manifest
    _check_settings(config, loaded, output)
    for path in output_files(output, to_pth):
        check_writable(path)
    plain = config.model_dump(mode="json")
    found = load_run(state_path(output)) if resume else None
    dataset = load_dataset(config.data, reporter, manifest.preprocessing)
    check_fits(dataset, manifest.input, manifest.task)
    source = _source(loaded, dataset)
    if found is not None:
        check_same_run(found, source, plain)
    history = _new_history(config, plain, loaded, reporter)

    seed_everything(config.finetune.seed)
    with _with_tensors(loaded, found.tensors if found else {}) as start:
        session = open_session(config.finetune.runtime, start, threads=config.finetune.threads, model=model)
    training, validation = _loaders(config, dataset, loaded)
    state = found.state if found else RunState()
    total_steps = count_steps(config.finetune.epochs, len(training), config.finetune.max_steps)
    if found is not None:
        _prepare_to_go_on(found, config.schedule, total_steps, reporter)
        if not output.is_file():
            loaded.save(output, found.tensors)

    def save(run: Finetuner) -> None:
        tensors = session.changed_tensors()
        loaded.save(output, tensors)
        optimizer = run.optimizer.state_dict() if run.optimizer else None
        saved = SavedRun(source, total_steps, plain, tensors, optimizer, get_random_state(), state)
        save_run(state_path(output), saved)
        history.epochs = list(state.records)
        history.peak_rss_bytes = peak_rss_bytes()
        save_history(_history_path(output), history)

    with catch_interrupts() as interrupt:
        run = Finetuner(
            config,
            manifest.task,
            session,
            training,
            validation,
            total_steps,
            state,
            save,
            interrupt,
            reporter,
            found.optimizer if found else None,
        )
        run.run()
    history.epochs = list(state.records)
    if to_pth is not None:
        # A run that was finished already made no step: its session knows of no changes.
        tuned = {**(found.tensors if found else {}), **session.changed_tensors()}
        _fold_back(loaded, tuned, state, plain, to_pth, model)
    return FinetuneResult(
        weights=output,
        history_path=_history_path(output),
        history=history,
        state_path=state_path(output),
        checkpoint=to_pth,
        before=_evaluation(state.records[0]),
        after=_evaluation(state.records[-1]) or Evaluation(float("nan"), None),
    )


def _check_settings(config: FinetuneCommand, program: Program, output: Path) -> None:
    settings, manifest = config.finetune, program.manifest
    if settings.batch_size > manifest.max_batch_size:
        raise UsageError(
            f"the program takes batches of up to {manifest.max_batch_size}, not {settings.batch_size}; use "
            f"--batch-size {manifest.max_batch_size} or export with --max-batch-size {settings.batch_size}"
        )
    wanted = ".pte" if manifest.weights is None else ".ptd"
    if output.suffix != wanted:
        where = "inside the program" if wanted == ".pte" else "outside the program"
        raise UsageError(f"{program.path} keeps its weights {where}; name an output that ends in {wanted}")


@contextlib.contextmanager
def _with_tensors(program: Program, tensors: dict[str, Tensor]) -> Iterator[Program]:
    """The program with some tensors replaced, in temporary files."""
    if not tensors:
        yield program
        return
    with tempfile.TemporaryDirectory(prefix="edgetrain-") as folder:
        if program.weights is None:
            place = Path(folder) / program.path.name
            program.save(place, tensors)
            yield load_program(place)
        else:
            place = Path(folder) / "weights.ptd"
            program.save(place, tensors)
            yield load_program(program.path, place)


def _loaders(config: FinetuneCommand, dataset: Dataset, program: Program) -> tuple[BatchLoader, BatchLoader]:
    """Batches prepared as the model was trained with, not as the new data set usually is."""
    manifest, settings = program.manifest, config.finetune
    training = BatchLoader(
        dataset.train,
        manifest.preprocessing,
        settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        augmentation=dataset.augmentation,
    )
    return training, BatchLoader(dataset.test, manifest.preprocessing, manifest.max_batch_size)


def _new_history(
    config: FinetuneCommand, plain: dict[str, Any], program: Program, reporter: Reporter
) -> History:
    settings = config.finetune
    history = History(
        runtime=settings.runtime,
        device="cpu",
        threads=settings.threads or torch.get_num_threads(),
        seed=settings.seed,
        config=plain,
    )
    if program.manifest.dropout and settings.runtime == "executorch":
        note = "ExecuTorch's dropout can't be seeded: another run of the same settings gives other weights"
        history.notes.append(note)
        reporter.detail(note)
    return history


def _source(program: Program, dataset: Dataset) -> dict[str, Any]:
    """What a run starts from; a resumed one has to start from the same."""
    weights = hashlib.sha256(program.weights.data).hexdigest() if program.weights else None
    return {
        "program": program.manifest.program.sha256,
        "weights it started from": weights,
        "training data": fingerprint(dataset.train),
    }


def _prepare_to_go_on(
    found: SavedRun, schedule: ScheduleConfig, total_steps: int, reporter: Reporter
) -> None:
    if depends_on_length(schedule) and total_steps != found.total_steps:
        reporter.warn(
            f"the {schedule.name} schedule now ends at step {total_steps}, not {found.total_steps}: "
            "from here on the learning rate is not what one uninterrupted run would have had"
        )
    set_random_state(found.random)
    if found.state.step >= total_steps:
        reporter.info(
            f"the run is finished already ({found.state.step} steps); raise --epochs or --max-steps to go on"
        )
    else:
        found.state.drop_unfinished_record()
        reporter.info(f"resuming after step {found.state.step} of {total_steps}")


def _fold_back(
    program: Program,
    tensors: dict[str, Tensor],
    state: RunState,
    config: dict[str, Any],
    path: Path,
    trusted: str | None,
) -> None:
    """Writes the tuned weights as a checkpoint; counters, which no graph reads, are as the model has them."""
    manifest = program.manifest
    model = build_trusted_model(manifest.model, trusted=trusted, source=str(program.path))
    weights = {**model.state_dict(), **program.tensors(), **tensors}
    save_checkpoint(
        path,
        Checkpoint(
            model=manifest.model,
            state=weights,
            input=manifest.input,
            task=manifest.task,
            preprocessing=manifest.preprocessing,
            metrics=state.records[-1].model_dump(),
            config=config,
        ),
    )


def _history_path(output: Path) -> Path:
    return output.with_name(f"{output.stem}.history.json")


def _evaluation(record: EpochRecord) -> Evaluation | None:
    return None if record.val_loss is None else Evaluation(record.val_loss, record.val_accuracy)
