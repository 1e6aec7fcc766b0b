"""Whether data fits a program, found out before the first step."""

from __future__ import annotations

from ..artifacts.manifest import Manifest
from ..artifacts.specs import TensorSpec
from ..data import Dataset
from ..data.checks import check_fits, check_ids
from ..tasks import make_task_for_checks


def check_data(dataset: Dataset, manifest: Manifest) -> None:
    """Checks a whole data set, all targets and ids of both splits, against a program.

    Raises:
        InputError: it doesn't fit; says what to do.
    """
    task = make_task_for_checks(manifest.task, source=manifest.program.name)
    check_fits(dataset, manifest.inputs, task.check_targets, task.spec.classes, targets_of(manifest))
    inputs = manifest.contract.sample_inputs
    check_ids(
        dataset,
        {a.name: (int(a.least), int(a.most)) for a in inputs if a.least is not None and a.most is not None},
    )


def targets_of(manifest: Manifest) -> dict[str, TensorSpec]:
    """What a program is trained towards, of one sample, by name."""
    return {
        a.name: TensorSpec.model_validate({"shape": a.sample_shape, "dtype": a.dtype})
        for a in manifest.contract.methods["train"].taken("target")
    }
