"""What `predict` looks at, and what it shows of that."""

from __future__ import annotations

from typing import Literal

from .base import Section, setting


class PredictConfig(Section):
    """What a model makes of samples; measured where their labels are known."""

    runtime: Literal["executorch", "torch"] = setting(
        "executorch",
        "of a program; executorch: ExecuTorch from Python; torch: eager PyTorch, the oracle",
    )
    split: Literal["train", "test"] = setting("test", "split of a data set that has several")
    top: int = setting(3, "classes per sample that are shown with their scores, the best first", ge=1)
    show: int | None = setting(
        None,
        "samples listed in the table; default: all images that are named or in a folder, 20 of a data set",
        ge=0,
    )
    batch_size: int | None = setting(
        None, "samples at once; default: as many as a program takes, 64 for a checkpoint", ge=1
    )
    threads: int | None = setting(None, "CPU threads; default: the runtime's choice", ge=1, le=1024)
