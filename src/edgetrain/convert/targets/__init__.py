"""One writer per target: a `Source` becomes files, compared with it before they are kept."""

from __future__ import annotations

from collections.abc import Callable

from .job import Job, Written
from .pte import write_pte
from .pth import write_pth
from .train import write_train

TARGETS: dict[str, Callable[[Job], Written]] = {"pte": write_pte, "train": write_train, "pth": write_pth}

__all__ = ["TARGETS", "Job", "Written"]
