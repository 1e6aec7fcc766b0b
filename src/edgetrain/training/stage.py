"""`edgetrain train`: from a configuration to a trained checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..artifacts.checkpoint import Checkpoint
from ..artifacts.commit import check_writable
from ..artifacts.history import History, hash_of
from ..config.stages import TrainCommand
from ..data import BatchLoader, Dataset, fingerprint, fingerprints, load_dataset
from ..data.checks import check_fits, warn_of_classes
from ..engine.epoch_log import open_log
from ..engine.hashing import weights_hash
from ..engine.interrupt import catch_interrupts
from ..engine.optimizers import make_optimizer
from ..engine.schedules import count_steps
from ..engine.seeding import seed_everything
from ..engine.step_hooks import StepHook
from ..errors import InputError
from ..models import build_model, resolve_model, without_pretrained_weights
from ..models.transforms import apply_transforms
from ..reporting import SILENT, Reporter
from ..tasks import Task, choose_task
from .distributed import World, is_main_process, join_world
from .hardware import pick_autocast, pick_device
from .learner import Learner
from .loop import Loop, is_finished
from .probe import check_outputs
from .resume import (
    Resumable,
    check_same_run,
    load_resumable,
    load_weights,
    prepare_to_go_on,
    restore,
    warn_inexact,
)
from .run_state import RunState
from .start import check_start
from .store import RunStore, history_path, last_path, output_files


@dataclass(frozen=True)
class Origin:
    """What a run begins with besides its configuration.

    Attributes:
        start: None: initial weights from the seed.
        hook: None: the optimizer alone changes the weights.
    """

    start: Checkpoint | None = None
    hook: StepHook | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """As plain data, for the run's record."""
        found: dict[str, Any] = {}
        if self.start is not None:
            found["start"] = weights_hash(self.start.state)
        if self.hook is not None:
            found["hook"] = self.hook.settings
        return found


@dataclass(frozen=True)
class TrainResult:
    """What a run left behind.

    Attributes:
        checkpoint: the best weights, by the validation figures that the task names.
        last: the last weights with the state that `resume` needs.
        history: also in the file `history_path`.
        best_epoch: epoch of `checkpoint`.
        figures: its validation loss and other metrics, by name.
    """

    checkpoint: Path
    last: Path
    history_path: Path
    history: History
    best_epoch: int
    figures: dict[str, float | None]


def train(
    config: TrainCommand,
    output: Path,
    *,
    resume: bool = False,
    start: Checkpoint | None = None,
    hook: StepHook | None = None,
    dataset: Dataset | None = None,
    reporter: Reporter = SILENT,
) -> TrainResult:
    """Trains a model, or goes on with a run that was interrupted.

    Under torchrun each process calls this; rank 0 writes and reports.

    Args:
        output: the best checkpoint; `<stem>.last.pth` and `<stem>.history.json` are written beside it.
        resume: go on from `<stem>.last.pth`. On a CPU the result is then, bit by bit, that of a run without
            interruption.
        start: model, transforms and weights to start from, in place of initial ones; `config.model` is its
            model then.
        hook: changes weights after each step.
        dataset: what `config.data` names, where it is read already.
    Raises:
        UsageError: model, data and settings don't fit each other, or not the run to be resumed.
        InputError: data, or the state to resume from, is missing or damaged.
        CheckFailedError: loss or gradients are not finite.
        InterruptedRun: Ctrl-C or SIGTERM; the state was saved.
    """
    if not is_main_process():
        reporter = SILENT
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    device = pick_device(config.train)
    with join_world(device) as world:
        # What is downloaded or unpacked is so once, and what fails does before anybody waits for gradients.
        found, data = world.main_first(lambda: _read(config, output, resume, start, dataset, world, reporter))
        origin = Origin(start, hook)
        result = _train(config, output, data, found, origin, world, reporter)
        world.wait()
    return result


def _read(
    config: TrainCommand,
    output: Path,
    resume: bool,
    start: Checkpoint | None,
    dataset: Dataset | None,
    world: World,
    reporter: Reporter,
) -> tuple[Resumable | None, Dataset]:
    """The run to go on with, and the data."""
    found = load_resumable(last_path(output)) if resume else None
    # What a checkpoint learned, it learned of inputs that were prepared in its way.
    if dataset is None:
        dataset = load_dataset(config.data, reporter, program=None if start is None else start.inputs)
    if world.is_main:
        for path in output_files(output):
            check_writable(path)
    return found, dataset


def _train(
    config: TrainCommand,
    output: Path,
    dataset: Dataset,
    found: Resumable | None,
    origin: Origin,
    world: World,
    reporter: Reporter,
) -> TrainResult:
    task = choose_task(
        config.task,
        config.loss,
        dataset.train.targets([0]),
        usual=dataset.task,
        ignored=dataset.ignored,
        classes=dataset.classes,
    )
    check_fits(dataset, dataset.inputs, task.check_targets, task.spec.classes)
    warn_of_classes(dataset.train, task.spec.classes, config.data.shift, reporter)
    dataset = dataset.ignoring(task.spec.ignore_index)
    outputs = _count_outputs(dataset, task)
    start = origin.start
    if start is None:
        model = resolve_model(config.model, dataset.inputs, outputs)
    else:
        check_start(start, config.model, dataset, task)
        model = start.model
    config = config.model_copy(update={"model": model})
    plain = {**config.model_dump(mode="json"), **origin.settings}
    if found is not None:
        inexact = check_same_run(found, plain, world.size, fingerprint(dataset.train))
        warn_inexact(inexact, reporter)

    learner = _make_learner(config, task, world, found.checkpoint if found is not None else start)
    loader, validation = _make_loaders(config, dataset, world)
    check_outputs(learner, next(iter(_probe_loader(dataset).epoch(0))), dataset, task, outputs)

    state = RunState()
    if found is not None:
        state = restore(found, learner, world)
    store = _make_store(config, output, dataset, task, plain, world)
    if start is not None:
        store.transforms = start.transforms
    total_steps = count_steps(config.train.epochs, len(loader), config.train.max_steps)
    if found is not None:
        store.check_best(state, found.checkpoint)
    if is_finished(state, total_steps, config.train.patience, origin.hook):
        return _already_finished(store, state, reporter)
    if found is not None:
        prepare_to_go_on(found, config.schedule, total_steps, output, reporter)
    with open_log(config.train.log if world.is_main else None) as log, catch_interrupts() as interrupt:
        Loop(
            config,
            learner,
            loader,
            validation,
            task,
            store,
            state,
            interrupt,
            reporter,
            hook=origin.hook,
            saved=found is not None,
            log=log,
        ).run()
    return _result(store, state)


def _count_outputs(dataset: Dataset, task: Task) -> int:
    """How many numbers per sample (or pixel, or token) the model must give."""
    if dataset.outputs is not None:
        return dataset.outputs
    if task.spec.classes:
        return task.output_count(dataset.train.targets([0]))
    return max(task.output_count(split.targets(range(len(split)))) for split in (dataset.train, dataset.test))


def _make_learner(config: TrainCommand, task: Task, world: World, start: Checkpoint | None) -> Learner:
    """Model, loss and optimizer, with initial weights from the seed or those of a checkpoint."""
    seed_everything(config.train.seed)
    if start is None:
        model = build_model(config.model)
    else:
        model = apply_transforms(build_model(without_pretrained_weights(config.model)), start.transforms)
        load_weights(model, start)
    model.to(world.device)
    optimizer = make_optimizer(config.optimizer, model.named_parameters())
    autocast = pick_autocast(config.train, world.device)
    learner = Learner(model, task, optimizer, config.optimizer, world, autocast)
    if world.rank:
        # Equal weights everywhere, but dropout of its own for each process.
        torch.manual_seed(config.train.seed + world.rank)
    return learner


def _make_loaders(config: TrainCommand, dataset: Dataset, world: World) -> tuple[BatchLoader, BatchLoader]:
    share: dict[str, Any] = {"rank": world.rank, "world_size": world.size}
    loader = BatchLoader(
        dataset.train,
        dataset.preprocessing,
        config.train.batch_size,
        shuffle=True,
        seed=config.train.seed,
        augmentation=dataset.augmentation,
        **share,
    )
    return loader, BatchLoader(dataset.test, dataset.preprocessing, config.train.eval_batch_size, **share)


def _probe_loader(dataset: Dataset) -> BatchLoader:
    return BatchLoader(dataset.train, dataset.preprocessing, 2)


def _make_store(
    config: TrainCommand, output: Path, dataset: Dataset, task: Task, plain: dict[str, Any], world: World
) -> RunStore:
    history = History(
        runtime="torch",
        device=_device_name(world),
        threads=torch.get_num_threads(),
        seed=config.train.seed,
        metrics=task.all_metrics,
        config=plain,
        source={
            **fingerprints(dataset),
            "model": hash_of(without_pretrained_weights(config.model).model_dump(mode="json")),
            **({"starting weights": plain["start"]} if "start" in plain else {}),
        },
    )
    return RunStore(
        output=output,
        model=without_pretrained_weights(config.model),
        inputs=dataset.inputs,
        targets=dataset.targets,
        task=task.spec,
        config=plain,
        history=history,
        train_data=fingerprint(dataset.train),
        is_main=world.is_main,
    )


def _device_name(world: World) -> str:
    name = "cpu" if world.device.type == "cpu" else torch.cuda.get_device_name(world.device)
    return name if world.size == 1 else f"{world.size} x {name}"


def _already_finished(store: RunStore, state: RunState, reporter: Reporter) -> TrainResult:
    if not store.output.is_file():
        raise InputError(f"the run is finished, but {store.output} is gone; train again without --resume")
    store.complete_history(state)
    reporter.info(
        f"the run is finished already ({state.step} steps); raise --epochs, --max-steps or --patience to "
        "go on"
    )
    return _result(store, state)


def _result(store: RunStore, state: RunState) -> TrainResult:
    assert state.best is not None
    store.history.epochs = list(state.records)
    store.history.best_epoch = state.best.epoch
    return TrainResult(
        checkpoint=store.output,
        last=store.last,
        history_path=history_path(store.output),
        history=store.history,
        best_epoch=state.best.epoch,
        figures=state.best.figures("val"),
    )
