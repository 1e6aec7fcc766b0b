"""Which files make up a program that is trained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .kinds import Written

if TYPE_CHECKING:
    from ..config.stages import ExportConfig


def program_files(stem: Path, config: ExportConfig) -> dict[Path, Written]:
    """Every file that exporting to a stem writes, and what it holds; dots in the stem's name stay."""
    kinds: dict[str, Written] = {".pte": "program", ".json": "manifest"}
    if config.weights == "external":
        kinds[".ptd"] = "file of weights"
    if config.budget is not None:
        kinds[".update.yaml"] = "file of update rules"
    return {stem.with_name(stem.name + suffix): kind for suffix, kind in kinds.items()}
