"""The data a program or checkpoint was trained on, where the command line names no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..artifacts.kinds import kind_of
from ..artifacts.manifest import load_manifest, manifest_path
from ..config.data import DataConfig
from ..errors import InputError
from .command import Invocation


def with_recorded_data(run: Invocation, program: Path) -> Invocation:
    """Fills in the data set that a program was trained on where none is named.

    Raises:
        InputError: the recorded data is not here, or not what this edgetrain knows.
    """
    manifest = manifest_path(program)
    # The stage says what is wrong with a manifest that is missing or damaged.
    if _is_named(run) or not manifest.is_file() or kind_of(manifest) != "manifest":
        return run
    recorded = load_manifest(manifest).config.get("data")
    return run if recorded is None else _filled_in(run, program, recorded)


def with_data_of_checkpoint(run: Invocation, checkpoint: Path) -> tuple[Invocation, bool]:
    """The same for a checkpoint, and whether there is data at all.

    Raises:
        InputError: as above, or the checkpoint is unusable.
    """
    if _is_named(run):
        return run, True
    from ..artifacts.checkpoint import load_checkpoint

    recorded = load_checkpoint(checkpoint).config.get("data")
    if recorded is None:
        return run, False
    return _filled_in(run, checkpoint, recorded), True


def _is_named(run: Invocation) -> bool:
    return "name" in run.config.data.model_dump(exclude_unset=True)


def _filled_in(run: Invocation, source: Path, recorded: Any) -> Invocation:
    """With the recorded data set; options that are given win over its own."""
    given = run.config.data.model_dump(exclude_unset=True)
    instead = "name the data with --data, and with --data-dir where it lies"
    try:
        arguments = {**recorded["args"], **given.get("args", {})}
        data = DataConfig.model_validate({**recorded, **given, "args": arguments})
    except (KeyError, TypeError, ValidationError) as error:
        raise InputError(f"{source} was trained on data this edgetrain doesn't know; {instead}") from error
    # Also keeps a program from elsewhere from having data downloaded to a place of its choice.
    if data.root is not None and "root" not in given and not data.root.exists():
        raise InputError(f"{source} was trained on {data.name} in {data.root}, which is not here; {instead}")
    from ..data.downloads import would_download

    if would_download(data):
        raise InputError(f"{source} was trained on {data.name}, which is not here; {instead}")
    run.reporter.info(f"data: {data.name} (as in training)")
    return replace(run, config=run.config.model_copy(update={"data": data}))
