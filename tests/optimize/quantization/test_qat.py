"""Training with rounding, in a loop of one's own."""

from __future__ import annotations

import copy
from pathlib import Path

import observed_models as models
import pytest
import torch
from torch import nn

from edgetrain.errors import UsageError
from edgetrain.optimize.quantization import QatSchedule, finish_qat, post_training, prepare_qat, write_program
from edgetrain.runtimes.inference import InferenceProgram


def trained(model: nn.Module, steps: int, schedule: QatSchedule | None = None) -> nn.Module:
    """Learns which channel of the images is brightest."""
    torch.manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.train()
    for step in range(steps):
        x = models.images(32)
        optimizer.zero_grad()
        classes = x.mean((2, 3)).argmax(1)
        nn.functional.cross_entropy(model(x), classes).backward()
        optimizer.step()
        if schedule is not None:
            schedule.after_step(model, step + 1, steps)
    return model.eval()


def test_from_float_to_a_program(tmp_path: Path) -> None:
    torch.manual_seed(0)  # weights too: a short training ends here or there
    plain = trained(models.seasoned(models.Residual(dropout=0.0)), 100)
    before = copy.deepcopy(plain.state_dict())
    observed = prepare_qat(plain, {"x": models.images(64)})
    trained(observed, 30, QatSchedule())
    int8 = finish_qat(observed)
    write_program(int8, [models.images(2)], tmp_path / "model.pte", max_batch_size=16)
    program = InferenceProgram(tmp_path / "model.pte")
    x = models.images(800)  # a step of 0.05 is more than chance then
    found = torch.cat([program.run(part)[0].clone() for part in x.split(16)])
    with torch.no_grad():
        expected, exact = observed(x), plain(x)
    assert models.sqnr(found, expected) > 30
    classes = x.mean((2, 3)).argmax(1)
    accuracy = [(y.argmax(1) == classes).float().mean().item() for y in (found, expected, exact)]
    assert accuracy[2] > 0.7
    assert abs(accuracy[0] - accuracy[1]) < 0.02
    assert accuracy[0] > accuracy[2] - 0.05
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_schedule() -> None:
    schedule = QatSchedule(norms=0.5, ranges=0.75)
    model = prepare_qat(models.seasoned(models.Residual()), {"x": models.images()})
    frozen = []
    for step in range(1, 5):
        schedule.after_step(model, step, 4)
        frozen.append(model.state_dict()["observers.frozen"].tolist())
    assert frozen == [[0, 0], [1, 0], [1, 1], [1, 1]]
    assert schedule.settings == {"qat": {"norms": 0.5, "ranges": 0.75}}


def test_a_share_out_of_range() -> None:
    with pytest.raises(UsageError, match="norms are frozen after a share of the steps, from 0 to 1, not 2"):
        QatSchedule(norms=2)


def test_quantized_already() -> None:
    x = {"x": models.images()}
    observed = prepare_qat(models.seasoned(models.Residual()), x)
    for model in (observed, finish_qat(observed)):
        with pytest.raises(UsageError, match="quantized already; start from its float checkpoint"):
            prepare_qat(model, x)
        with pytest.raises(UsageError, match="quantized already"):
            post_training(model, x)


def test_a_model_without_observers() -> None:
    with pytest.raises(UsageError, match="has no observers"):
        finish_qat(models.Residual())


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(4, 3, 8), "doesn't take samples of shapes"),
        (torch.zeros(4, 5, 8, 8), "doesn't take samples of shapes"),
        (torch.zeros(1, 3, 8, 8), "two samples or more"),
    ],
)
def test_samples_that_do_not_fit(samples: torch.Tensor, message: str) -> None:
    model = models.Residual()
    for call in (prepare_qat, post_training):
        with pytest.raises(UsageError, match=message):
            call(model, {"x": samples})
    assert model.training
