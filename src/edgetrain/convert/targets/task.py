"""What a converted model is trained for."""

from __future__ import annotations

from ...factories import Trusted, is_factory
from ...tasks import Task, choose_task, make_task
from .job import Job


def task_of(job: Job) -> Task:
    """The source's own, unless a task or a loss is named; a user's own loss is trusted for being named.

    Raises:
        InputError: the source names somebody's code as its loss, and the user does not.
        UsageError: task and loss don't go together.
    """
    task, loss = job.config.task, job.config.loss
    trusted = Trusted(loss=loss.name if is_factory(loss.name) else None)
    own = job.source.task
    if own is not None and (trusted.loss == own.loss or not (loss.model_fields_set or task.model_fields_set)):
        return make_task(own, trusted, source=job.origin)
    return choose_task(task, loss, None, classes=own.classes if own is not None else None)
