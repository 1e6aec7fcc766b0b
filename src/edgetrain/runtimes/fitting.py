"""Whether data fits a program, found out before the first step."""

from __future__ import annotations

from ..artifacts.manifest import Manifest
from ..artifacts.specs import TensorSpec
from ..data import Dataset
from ..data.checks import check_fits
from ..tasks import make_task_for_checks


def check_data(dataset: Dataset, manifest: Manifest) -> None:
    """Checks a whole data set, all targets of both splits, against a program.

    Raises:
        InputError: it doesn't fit; says what to do.
    """
    task = make_task_for_checks(manifest.task, source=manifest.program.name)
    check_fits(dataset, manifest.inputs, task.check_targets, task.spec.classes, targets_of(manifest))


def targets_of(manifest: Manifest) -> dict[str, TensorSpec]:
    """What a program is trained towards, of one sample, by name."""
    return {
        a.name: TensorSpec.model_validate({"shape": a.sample_shape, "dtype": a.dtype})
        for a in manifest.contract.methods["train"].taken("target")
    }
