"""Writing: program, weights and manifest, beside each other in a folder of their own."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import torch

from .. import __version__
from ..artifacts.atomic import write_bytes
from ..artifacts.contract import Contract
from ..artifacts.manifest import (
    Manifest,
    file_record,
    manifest_path,
    save_manifest,
    tensors_pairing,
)
from ..artifacts.program import load_program
from ..artifacts.program_needs import own_operators
from ..artifacts.tensors import write_tensors
from .backbone.values import is_random
from .pipeline import Lowered, Recipe, Subject, Written


def write(lowered: Lowered, contract: Contract, subject: Subject, recipe: Recipe, stem: Path) -> Written:
    """Writes all files and reads them back.

    Args:
        stem: where to write, without suffix; the folder exists.
    """
    source = subject.source
    program, weights = stem.with_name(stem.name + ".pte"), stem.with_name(stem.name + ".ptd")
    write_bytes(program, lowered.program)
    if recipe.external:
        write_tensors(weights, lowered.edge.tensors)
    manifest = Manifest(
        edgetrain=__version__,
        torch=torch.__version__,
        executorch=version("executorch"),
        program=file_record(program),
        weights=file_record(weights) if recipe.external else None,
        checkpoint=None if subject.path is None else file_record(subject.path),
        pairing=tensors_pairing(contract.stored),
        model=source.model,
        task=source.task,
        inputs=source.inputs,
        own_operators=own_operators(name for names in lowered.operators.values() for name in names),
        batch_norm=subject.settings.batch_norm,
        dropout=any(is_random(n) for graph in lowered.edge.joint.graphs.values() for n in graph.graph.nodes),
        contract=contract,
        transforms=[*source.transforms, *subject.transforms],
        rules=list(subject.rules),
        verification=None,
        config={**source.config, **subject.config.model_dump(mode="json")},
    )
    save_manifest(manifest_path(program), manifest)
    return Written(load_program(program))
