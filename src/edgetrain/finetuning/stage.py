"""`edgetrain finetune`: a program and a device's data in, tuned weights out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..artifacts.atomic import check_writable
from ..artifacts.checkpoint import Checkpoint, save_checkpoint
from ..artifacts.history import EpochRecord, History
from ..artifacts.program import Program, load_program
from ..config.stages import FinetuneCommand
from ..data import load_dataset
from ..data.checks import check_fits
from ..errors import UsageError
from ..models.trusted import build_trusted_model
from ..reporting import SILENT, Reporter
from .in_process import run_in_process
from .job import Job
from .native import run_natively
from .outputs import history_path, output_files, state_path, with_runtime


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

    Beside `output` it writes `<stem>.history.json` and what a resumed run starts from, after every epoch.

    Args:
        weights: start from this .ptd rather than the one the program was exported with.
        resume: go on with an interrupted run of the same output; the result is, bit by bit, that of a run
            without interruption (in the executorch runtime without dropout only).
        to_pth: also fold the tuned weights back into a checkpoint for the server.
        model: the `package.module:factory` the caller trusts, where torch has to build one.
    Raises:
        InputError: program, weights or data are damaged or don't fit each other.
        UsageError: the settings don't fit the program.
        CheckFailedError: the loss is not finite.
        InterruptedRun: Ctrl-C or SIGTERM; everything is saved.
    """
    config = with_runtime(config, output if resume else None)
    runtime = config.finetune.runtime
    loaded = load_program(program, weights)
    manifest = loaded.manifest
    _check_settings(config, loaded, output)
    for path in output_files(output, runtime, to_pth):
        check_writable(path)
    dataset = load_dataset(config.data, reporter, manifest.preprocessing)
    check_fits(dataset, manifest.input, manifest.task, manifest.target_shape)
    if resume:
        _check_state(output, runtime)
    history = _new_history(config, loaded, reporter)
    job = Job(config, loaded, dataset, output, resume, model, history, reporter)
    if runtime == "native":
        run_natively(job)
    else:
        run_in_process(job)
    records = job.history.epochs
    if to_pth is not None:
        _fold_back(job, to_pth)
    return FinetuneResult(
        weights=output,
        history_path=history_path(output),
        history=job.history,
        state_path=state_path(output, runtime),
        checkpoint=to_pth,
        before=_evaluation(records[0]),
        after=_evaluation(records[-1]) or Evaluation(float("nan"), None),
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


def _check_state(output: Path, runtime: str) -> None:
    there, other = (
        state_path(output, r) for r in (runtime, "executorch" if runtime == "native" else "native")
    )
    if not there.exists() and other.exists():
        raise UsageError(
            f"the run was made in another runtime: there is {other.name}, but no {there.name}; go on in the "
            "runtime it was made in, or start anew without --resume"
        )


def _new_history(config: FinetuneCommand, program: Program, reporter: Reporter) -> History:
    settings = config.finetune
    history = History(
        runtime=settings.runtime,
        device="cpu",
        threads=settings.threads or torch.get_num_threads(),
        seed=settings.seed,
        config=config.model_dump(mode="json"),
    )
    if program.manifest.dropout and settings.runtime == "executorch":
        note = "ExecuTorch's dropout can't be seeded: another run of the same settings gives other weights"
        history.notes.append(note)
        reporter.detail(note)
    return history


def _fold_back(job: Job, path: Path) -> None:
    """Writes the tuned weights as a checkpoint; counters, which no graph reads, are as the model has them."""
    manifest = job.program.manifest
    model = build_trusted_model(manifest.model, trusted=job.model, source=str(job.program.path))
    tuned = job.load_tuned()
    save_checkpoint(
        path,
        Checkpoint(
            model=manifest.model,
            state={**model.state_dict(), **tuned.tensors()},
            input=manifest.input,
            task=manifest.task,
            preprocessing=manifest.preprocessing,
            metrics=job.history.epochs[-1].model_dump(),
            config=job.history.config,
        ),
    )


def _evaluation(record: EpochRecord) -> Evaluation | None:
    return None if record.val_loss is None else Evaluation(record.val_loss, record.val_accuracy)
