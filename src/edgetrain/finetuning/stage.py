"""`edgetrain finetune`: a program and a device's data in, tuned weights out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from ..artifacts.commit import check_writable
from ..artifacts.contract import Contract
from ..artifacts.history import EpochRecord, History, hash_of, load_history
from ..artifacts.manifest import Manifest
from ..artifacts.program import Program, load_program
from ..artifacts.run_state import load_run
from ..config.stages import FinetuneCommand, FinetuneConfig
from ..data import Dataset, fingerprints, load_dataset
from ..data.checks import warn_of_classes
from ..engine.epoch_log import open_log
from ..engine.hashing import weights_hash
from ..engine.optimizers import check_groups
from ..engine.program_optimizer import with_own_settings
from ..errors import UsageError
from ..factories import NOTHING, Trusted
from ..reporting import SILENT, Reporter
from ..runtimes.fitting import check_data
from ..runtimes.updates import check_updates
from ..tasks.registry import find_task
from .folding import find_source, fold_back
from .in_process import run_in_process
from .native import run_natively
from .outputs import history_path, output_files, state_path, with_runtime
from .result import Evaluation, FinetuneResult
from .resume import check_runtime
from .run import Run

# Where nobody chooses, and the program takes as many.
_USUAL_BATCH_SIZE = 32


def finetune_here(
    config: FinetuneCommand,
    program: Path,
    output: Path,
    *,
    weights: Path | None = None,
    resume: bool = False,
    to_pth: Path | None = None,
    from_pth: Path | None = None,
    trusted: Trusted = NOTHING,
    reporter: Reporter = SILENT,
) -> FinetuneResult:
    """Trains an exported program further, in this process where the runtime is not native; see
    `process.finetune`, which has the arguments."""
    loaded = load_program(program, weights)
    manifest = loaded.manifest
    config = _resolve(with_runtime(config, output if resume else None), loaded, output)
    runtime = config.finetune.runtime
    outside = check_updates(runtime, loaded, config.optimizer, config.finetune.accumulate)
    if from_pth is not None and to_pth is None:
        raise UsageError("--from-pth is what --to-pth takes from; give --to-pth as well, or leave it out")
    source = find_source(loaded, from_pth, trusted) if to_pth is not None else None
    for path in output_files(output, to_pth):
        check_writable(path)
    dataset = load_dataset(config.data, reporter, manifest.inputs)
    check_data(dataset, manifest)
    warn_of_classes(dataset.train, manifest.task.classes, config.data.shift, reporter)
    dataset = dataset.ignoring(manifest.task.ignore_index)
    if resume:
        state = state_path(output)
        check_runtime(load_run(state).record, runtime, state.name)
    history = _new_history(config, loaded, outside, reporter)
    history.source.update(_source(loaded, dataset))
    with open_log(config.finetune.log) as log:
        run = Run(config, loaded, dataset, output, resume, trusted, history, log, reporter)
        if runtime == "native":
            run_natively(run)
        else:
            run_in_process(run)
    run = replace(run, history=load_history(history_path(output)))
    if to_pth is not None and source is not None:
        fold_back(run, source, to_pth)
    return FinetuneResult(
        weights=output,
        history_path=history_path(output),
        history=run.history,
        state_path=state_path(output),
        checkpoint=to_pth,
        before=_evaluation(run.history.epochs[0]),
        after=_evaluation(run.history.kept_epoch) or Evaluation({}),
    )


def _resolve(config: FinetuneCommand, program: Program, output: Path) -> FinetuneCommand:
    """The configuration with a batch size and the whole optimizer, once it is known to fit the program."""
    settings, contract = config.finetune, program.manifest.contract
    wanted = ".pte" if program.weights is None else ".ptd"
    if output.suffix != wanted:
        where = "inside the program" if wanted == ".pte" else "outside the program"
        raise UsageError(f"{program.path} keeps its weights {where}; name an output that ends in {wanted}")
    size = _batch_size(settings.batch_size, contract)
    program.check_savable(settings.save)
    optimizer = with_own_settings(config.optimizer, contract)
    check_groups(optimizer, contract.trainable)
    chosen = settings.model_copy(update={"batch_size": size, "best_by": _best_by(settings, program.manifest)})
    return config.model_copy(update={"finetune": chosen, "optimizer": optimizer})


def _best_by(settings: FinetuneConfig, manifest: Manifest) -> str | None:
    """The metric that decides which epoch is best; None where nothing depends on that."""
    if settings.best_by is None and settings.keep == "last" and settings.patience is None:
        return None
    names = [metric.name for metric in manifest.contract.metrics]
    wanted = settings.best_by or find_task(manifest.task.name).best[0]
    if wanted not in names:
        raise UsageError(f"the program has no metric {wanted}; --best-by takes {', '.join(names)}")
    return wanted


def _batch_size(wanted: int | None, contract: Contract) -> int:
    if contract.splits_batches:
        return wanted or _USUAL_BATCH_SIZE
    most = contract.max_batch_size
    if wanted is not None and wanted > most:
        raise UsageError(
            f"the program takes batches of up to {most}, not {wanted}; use --batch-size {most} or export "
            f"with --max-batch-size {wanted}"
        )
    return wanted or min(_USUAL_BATCH_SIZE, most)


def _new_history(
    config: FinetuneCommand, program: Program, outside: str | None, reporter: Reporter
) -> History:
    settings = config.finetune
    history = History(
        runtime=settings.runtime,
        device="cpu",
        threads=settings.threads or torch.get_num_threads(),
        seed=settings.seed,
        metrics=program.manifest.contract.metrics,
        config=config.model_dump(mode="json"),
    )
    where = "in the graph" if outside is None else f"outside of the graph: {outside}"
    history.notes.append(f"the weights are updated {where}")
    reporter.info(history.notes[-1])
    if program.manifest.dropout and settings.runtime == "executorch":
        note = "ExecuTorch's random numbers can't be seeded: another such run gives other weights"
        history.notes.append(note)
        reporter.detail(note)
    return history


def _source(program: Program, dataset: Dataset) -> dict[str, str]:
    """What the run's figures depend on besides its settings."""
    model = hash_of(program.manifest.model.model_dump(mode="json"))
    return {
        **fingerprints(dataset),
        "model": model,
        "starting weights": weights_hash(dict(sorted(program.tensors().items()))),
    }


def _evaluation(record: EpochRecord) -> Evaluation | None:
    return None if record.val_loss is None else Evaluation(record.figures("val"))
