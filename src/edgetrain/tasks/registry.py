"""Tasks by name, and the choice among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ..artifacts.specs import TaskSpec
from ..config.model import LossConfig, TaskConfig
from ..config.names import TASK_OF_LABELS, TASKS, load_entry
from ..errors import InputError, UsageError
from ..factories import NOTHING, Trusted, is_factory
from .base import Task
from .custom import Custom


def find_task(name: str) -> type[Task]:
    """The task of that name: one of the table, or `custom`, which stands for a loss of one's own.

    Raises:
        KeyError: there is none.
    """
    return Custom if name == Custom.name else load_entry(TASKS[name], __package__)


def make_task(spec: TaskSpec, trusted: Trusted = NOTHING, *, source: str = "the configuration") -> Task:
    """The task a checkpoint or manifest names.

    Args:
        trusted: the user's own loss that the caller vouches for.
        source: the file, for messages.
    Raises:
        InputError: the task or its loss is unknown, or is code that the caller did not name.
        UsageError: the user's own loss can't be made.
    """
    if is_factory(spec.loss) and spec.loss != trusted.loss:
        raise InputError(
            f"{source} names {spec.loss} as the code of its loss; if you trust it, confirm with --loss "
            f"{spec.loss}"
        )
    return _kind(spec, source)(spec)


def make_task_for_checks(spec: TaskSpec, *, source: str) -> Task:
    """The task a checkpoint or manifest names, for its checks of data alone: a loss of one's own, which a
    program has in its graph, is not needed for them, and its code stays unused.

    Raises:
        InputError: the task or its loss is unknown.
    """
    kind = _kind(spec, source)
    if is_factory(spec.loss):
        spec = spec.model_copy(update={"loss": next(iter(kind.losses), "")})
    return kind(spec)


def _kind(spec: TaskSpec, source: str) -> type[Task]:
    kind = find_task(spec.name) if spec.name in (*TASKS, Custom.name) else None
    if kind is None or not (is_factory(spec.loss) or spec.loss in kind.losses):
        raise InputError(
            f"{source} has the task {spec.name} with the loss {spec.loss}, which is unknown here"
        )
    return kind


def choose_task(
    task: TaskConfig,
    loss: LossConfig,
    targets: Mapping[str, Tensor] | None,
    *,
    usual: str | None = None,
    ignored: int | None = None,
    classes: Sequence[str] | None = None,
) -> Task:
    """The task that a configuration asks for.

    Args:
        targets: columns [N, ...], or their first rows; None where there is no data to look at.
        usual: the task that the data set is for, where it says so.
        ignored: label that counts for nothing in the data, where it has one.
        classes: names of the data's classes.
    Raises:
        UsageError: task and loss don't go together.
    """
    own = is_factory(loss.name)
    name: str = task.name
    if name == "auto":
        name = Custom.name if own else _infer(loss, targets, usual)
    kind = find_task(name)
    if loss.ignore_index is not None and kind.usual_ignored is None:
        raise UsageError(f"the task {name} has no labels to ignore; leave out --ignore-index")
    if not own and loss.name not in kind.losses:
        if "name" in loss.model_fields_set:
            raise UsageError(
                f"the task {name} is learned by {' or '.join(kind.losses)}, not by {loss.name}; change "
                "--loss or --task"
            )
        loss = loss.model_copy(update={"name": kind.losses[0]})
    return kind(
        TaskSpec(
            name=name,
            loss=loss.name,
            label_smoothing=loss.label_smoothing,
            ignore_index=_ignored(kind, loss.ignore_index, ignored),
            classes=None if classes is None else tuple(classes),
        )
    )


def _ignored(kind: type[Task], chosen: int | None, found: int | None) -> int | None:
    """The label that counts for nothing: the configuration's, the data's, or the task's usual one."""
    if kind.usual_ignored is None:
        return None
    return next(label for label in (chosen, found, kind.usual_ignored) if label is not None)


def _infer(loss: LossConfig, targets: Mapping[str, Tensor] | None, usual: str | None) -> str:
    """The data's own task, unless a loss was chosen that doesn't fit it; else the usual one for the targets'
    dimensions, or the first, among those that fit the loss."""
    fitting = [name for name in TASKS if loss.name in find_task(name).losses]
    if usual in (fitting if "name" in loss.model_fields_set else TASKS):
        return str(usual)
    by_dims = [TASK_OF_LABELS.get(column.dim() - 1) for column in (targets or {}).values()]
    return next((name for name in by_dims if name in fitting), None) or fitting[0]
