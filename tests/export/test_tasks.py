"""Every task, exported and verified: its loss, gradients, predictions and sums in the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import task_models as models
import torch

from edgetrain.artifacts.checkpoint import save_checkpoint
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.config.stages import ExportCommand
from edgetrain.errors import InputError
from edgetrain.export import ExportResult, export
from edgetrain.factories import Trusted
from edgetrain.runtimes import open_session

SETTINGS = {"export": {"max_batch_size": 4}}


def run_export(folder: Path, case: str, trusted: Trusted | None = None) -> ExportResult:
    kind, inputs, task, targets = models.CASES[case]
    torch.manual_seed(0)
    path = folder / "model.pth"
    save_checkpoint(path, models.checkpoint(kind(), inputs, task, targets))
    named = Trusted(model=f"task_models:{kind.__name__}", loss=task.loss)
    return export(ExportCommand.model_validate(SETTINGS), path, folder / "model", trusted=trusted or named)


# Left to `make test-all`: "next token" is of the same model, and tests/e2e has a job of token classification.
THOROUGH = {"token classification": pytest.mark.thorough}


@pytest.mark.parametrize("case", [pytest.param(c, marks=THOROUGH.get(c, ())) for c in models.CASES])
def test_tasks(tmp_path: Path, case: str) -> None:
    result = run_export(tmp_path, case)
    found, contract = result.verification, result.manifest.contract
    worst = max(found.loss, found.gradients, found.weights_after_steps, found.predict_after_steps)
    assert max(worst, found.predictions, found.metrics) <= 1e-4
    _, inputs, task, _ = models.CASES[case]
    assert [a.name for a in contract.methods["train"].taken("input")] == list(inputs)
    assert result.manifest.task == task
    sums = {a.name: a.shape for a in contract.methods["evaluate"].given("metric")}
    for metric in contract.metrics:
        assert sums[metric.top] == sums[metric.bottom], metric.name
    check(case, result)


def check(case: str, result: ExportResult) -> None:
    """What is special about each."""
    contract = result.manifest.contract
    train, predict = contract.methods["train"], contract.methods["predict"]
    if case == "two inputs":
        assert [a.name for a in train.taken("target")] == ["label"]
    if case == "segmentation":
        assert [(a.name, a.shape) for a in predict.given("output")] == [
            ("out", ["batch", 3, 8, 8]),
            ("aux", ["batch", 3, 8, 8]),
        ], "the main one first"
        (target,) = train.taken("target")
        assert (target.shape, target.least, target.most, target.ignored) == (["batch", 8, 8], 0, 2, 255)
        assert contract.tensor("aux.weight").update == "none"
        assert [a.shape for a in train.given("metric") if a.name == "union"] == [[3]]
    if case == "next token":
        for method in (train, predict):
            (ids,) = method.taken("input")
            assert (ids.least, ids.most, ids.ignored) == (0, 10, None)
        tied = contract.tensor("embed.weight")
        assert tied.aliases == ["head.weight"]
        assert "head.weight" not in contract.trainable
        assert contract.best == ["loss"]
    if case.startswith("own loss"):
        state = models.CASES[case][0]().state_dict()
        assert {t.name for t in contract.stored} == set(state), "the loss's tensors are no weights"
        assert not train.given("prediction")
    if case == "own loss of several tensors":
        assert [a.name for a in train.taken("target")] == ["mask", "image"]


def test_sums_of_a_batch(tmp_path: Path) -> None:
    """What the runtime returns is what the metrics are made of: pixels that count for nothing don't."""
    session = open_session("executorch", load_program(run_export(tmp_path, "segmentation").program))
    inputs = {INPUTS: torch.randn(2, 3, 8, 8)}
    masks = torch.zeros(2, 8, 8, dtype=torch.int64)
    masks[:, 4:] = 255
    outcome = session.evaluate(inputs, {TARGETS: masks})
    assert outcome.sums["count"] == 2 * 4 * 8
    assert outcome.sums["loss_sum"] == pytest.approx(outcome.loss * 64, rel=1e-5)
    right = (outcome.predictions["mask"] == masks).sum()
    assert outcome.sums["correct"] == right
    assert torch.equal(outcome.predictions["mask"], session.predict(inputs)["out"].argmax(1))


@pytest.mark.parametrize(
    ("trusted", "flag"),
    [
        (Trusted(model="task_models:Signal"), "--loss task_models:Weighted"),
        (Trusted(loss="task_models:Weighted"), "--model task_models:Signal"),
    ],
)
def test_a_checkpoint_may_not_choose_code(tmp_path: Path, trusted: Any, flag: str) -> None:
    with pytest.raises(InputError, match=flag):
        run_export(tmp_path, "own loss", trusted)
    assert {p.name for p in tmp_path.iterdir()} == {"model.pth"}
