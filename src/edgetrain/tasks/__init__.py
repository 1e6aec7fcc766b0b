"""What a model learns: loss, predictions, metrics and checks of targets, one file for each task.

To add one: write `tasks/NAME.py` with a subclass of `Task` and add a line to `TASKS` of `config/names.py`.
"""

from .base import Task
from .registry import choose_task, make_task, make_task_for_checks

__all__ = ["Task", "choose_task", "make_task", "make_task_for_checks"]
