import ast
import re
import subprocess
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor

from edgetrain.artifacts.specs import TaskSpec
from edgetrain.config import names
from edgetrain.config.model import LossConfig, TaskConfig
from edgetrain.errors import InputError, UsageError
from edgetrain.factories import Trusted
from edgetrain.tasks import Task, choose_task, make_task, make_task_for_checks
from edgetrain.tasks.registry import find_task

ROOT = Path(__file__).parents[2]
INTS, FLOATS = torch.int64, torch.float32


def choose(
    task: str = "auto", targets: Tensor | None = None, usual: str | None = None, **loss: object
) -> Task:
    columns = None if targets is None else {"targets": targets}
    return choose_task(TaskConfig(name=task), LossConfig.model_validate(loss), columns, usual=usual)


def test_tables_of_names() -> None:
    kinds = {name: find_task(name) for name in names.TASKS}
    assert {name: kind.name for name, kind in kinds.items()} == {name: name for name in names.TASKS}
    assert ["auto", *names.TASKS] == list(get_args(TaskConfig.model_fields["name"].annotation))
    assert {loss for kind in kinds.values() for loss in kind.losses} == set(names.LOSSES)
    assert kinds["classification"].losses[0] == names.LOSSES[0]
    assert set(names.TASK_OF_LABELS.values()) < set(kinds)


@pytest.mark.parametrize(
    ("targets", "usual", "loss", "expected"),
    [
        (torch.zeros(1, dtype=INTS), None, "cross_entropy", "classification"),
        (torch.zeros(1, 4, 4, dtype=INTS), None, "cross_entropy", "segmentation"),
        (torch.zeros(1, 9, dtype=INTS), None, "cross_entropy", "token-classification"),
        (torch.zeros(1, 9, dtype=INTS), "next-token", "cross_entropy", "next-token"),
        (torch.zeros(1, 3, dtype=FLOATS), None, "mse", "regression"),
        (torch.zeros(1, dtype=FLOATS), None, "l1", "regression"),
        (torch.zeros(1, 3, dtype=FLOATS), None, "bce_with_logits", "multi-label"),
        (torch.zeros(1, 4, 4, dtype=INTS), "segmentation", "mse", "regression"),
        (None, None, "cross_entropy", "classification"),
    ],
)
def test_task_from_data_and_loss(targets: Tensor | None, usual: str | None, loss: str, expected: str) -> None:
    assert choose(targets=targets, usual=usual, name=loss).name == expected


def test_a_named_task_brings_its_usual_loss() -> None:
    assert choose("regression").spec.loss == "mse"
    assert choose("regression", name="l1").spec.loss == "l1"
    with pytest.raises(UsageError, match="the task regression is learned by mse or l1, not by cross_entropy"):
        choose("regression", name="cross_entropy")


def test_ignored_labels() -> None:
    def ignored(loss: LossConfig, found: int | None) -> int | None:
        config = TaskConfig(name="segmentation")
        return choose_task(config, loss, None, ignored=found).spec.ignore_index

    assert ignored(LossConfig(), None) == 255
    assert ignored(LossConfig(), 9) == 9
    assert ignored(LossConfig(ignore_index=0), 9) == 0
    assert choose("token-classification").spec.ignore_index == -100
    assert choose("classification").spec.ignore_index is None
    with pytest.raises(UsageError, match="the task classification has no labels to ignore; leave out"):
        choose("classification", ignore_index=3)


def test_code_from_a_file_needs_to_be_named_by_the_user() -> None:
    spec = TaskSpec(name="custom", loss="torch.nn:MSELoss")
    with pytest.raises(
        InputError, match=r"m\.pth names torch\.nn:MSELoss as the code of its loss; if you trust"
    ):
        make_task(spec, Trusted(model="torch.nn:MSELoss"), source="m.pth")
    task = make_task(spec, Trusted(loss="torch.nn:MSELoss"), source="m.pth")
    assert task.loss({"output": torch.ones(2)}, {"targets": torch.zeros(2)}).item() == 1


@pytest.mark.parametrize(
    ("name", "targets", "message"),
    [
        (
            "classification",
            torch.tensor([0, 7]),
            "train sample 1 has the label 7, but the model has 2 classes",
        ),
        (
            "custom",
            torch.tensor([0.0, float("nan")]),
            "train sample 1 has a NaN or infinite number in targets",
        ),
    ],
)
def test_checks_need_no_code_of_a_file(name: str, targets: Tensor, message: str) -> None:
    task = make_task_for_checks(TaskSpec(name=name, loss="no.such:loss", classes=("a", "b")), source="m.json")
    with pytest.raises(InputError, match=message):
        task.check_targets({"targets": targets}, "train ")


@pytest.mark.parametrize(("name", "loss"), [("sorting", "cross_entropy"), ("regression", "cross_entropy")])
def test_an_unknown_task_of_a_file(name: str, loss: str) -> None:
    with pytest.raises(
        InputError, match=f"m.json has the task {name} with the loss {loss}, which is unknown"
    ):
        make_task(TaskSpec(name=name, loss=loss), source="m.json")


def test_losses_are_named_nowhere_else() -> None:
    """What belongs to a loss is asked of its task."""
    told = ("docs/", "CHANGELOG.md", "README.md", "tests/", "configs/")
    # Pruning has a norm of the same name as a loss, and PyTorch has operators.
    allowed = (
        "src/edgetrain/tasks/", "src/edgetrain/config/", "src/edgetrain/optimize/pruning/",
        "src/edgetrain/convert/foreign_operators.py",
    )  # fmt: skip
    found = subprocess.run(
        ["git", "grep", "-nE", r"cross_entropy|\bmse\b|bce_with_logits|\bl1\b", "--", ".",
         *(f":(exclude){path}" for path in (*told, *allowed))],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode in (0, 1), found.stderr
    assert found.stdout.splitlines() == []


def test_every_file_of_tasks_is_used() -> None:
    """A task that nobody entered into the table would be dead code."""
    folder = ROOT / "src" / "edgetrain" / "tasks"
    imported = {
        node.module
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module
    }
    entered = {entry.partition(":")[0] for entry in names.TASKS.values()}
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert files == entered | {name for name in imported if re.fullmatch(r"\w+", name)}
