from __future__ import annotations

from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.errors import EdgetrainError, InputError
from edgetrain.factories import Trusted
from edgetrain.runtimes import fixed_randomness, open_session

RUNTIMES = ("executorch", "torch")


def _pair(made: Any) -> list[Any]:
    program = load_program(made.program)
    return [open_session(name, program, dropout=False, threads=1, trusted=made.trusted) for name in RUNTIMES]


def _named(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The batch as samples with one input and one target name them."""
    return {"inputs": batch[0]}, {"targets": batch[1]}


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / b.norm().clamp_min(1e-12)).item()


@pytest.mark.parametrize("size", [1, 2, 3, 31, 32])
def test_they_agree(digits_program: Any, batch: Any, size: int) -> None:
    device, eager = _pair(digits_program)
    inputs, targets = _named(batch(size, seed=size))
    for step in range(3):
        found, expected = device.forward_backward(inputs, targets), eager.forward_backward(inputs, targets)
        _check_alike(found, expected)
        assert found.sums["count"] == size
        names = load_program(digits_program.program).manifest.contract.trainable
        assert list(device.gradients) == list(eager.gradients) == names
        for name, gradient in eager.gradients.items():
            assert _difference(device.gradients[name], gradient) < 1e-5, (name, step)
        for session in (device, eager):
            with torch.no_grad():
                for name, parameter in session.parameters.items():
                    parameter.sub_(session.gradients[name], alpha=0.05)
    for name, tensor in eager.changed_tensors().items():
        assert _difference(device.changed_tensors()[name], tensor) < 1e-5, name
    outputs = [session.predict(inputs) for session in (device, eager)]
    assert [list(output) for output in outputs] == [["output"], ["output"]]
    assert _difference(outputs[0]["output"], outputs[1]["output"]) < 1e-5
    _check_alike(*(session.evaluate(inputs, targets) for session in (device, eager)))


def _check_alike(found: Any, expected: Any) -> None:
    assert found.loss == pytest.approx(expected.loss, rel=1e-5)
    assert list(found.predictions) == list(expected.predictions) == ["class"]
    assert torch.equal(found.predictions["class"], expected.predictions["class"])
    assert list(found.sums) == list(expected.sums) == ["loss_sum", "count", "correct"]
    for name, value in expected.sums.items():
        assert found.sums[name].dtype == torch.float32
        assert found.sums[name].item() == pytest.approx(value.item(), rel=1e-5), name


def test_regression_agrees(regression_program: Any) -> None:
    device, eager = _pair(regression_program)
    torch.manual_seed(0)
    inputs, targets = _named((torch.randn(5, 6), torch.randn(5, 2)))
    results = [session.forward_backward(inputs, targets) for session in (device, eager)]
    assert results[0].loss == pytest.approx(results[1].loss, rel=1e-5)
    assert results[0].predictions == results[1].predictions == {}
    assert list(results[0].sums) == list(results[1].sums) == ["loss_sum", "count"]
    for name, gradient in eager.gradients.items():
        assert _difference(device.gradients[name], gradient) < 1e-5, name
    assert device.predict(inputs)["output"].shape == (5, 2)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_parameters_are_live(digits_program: Any, batch: Any, runtime: Any) -> None:
    session = open_session(runtime, load_program(digits_program.program))
    inputs, targets = _named(batch(4))
    before = session.predict(inputs)["output"]
    session.forward_backward(inputs, targets)
    bias = session.parameters["classifier.2.bias"]
    bias[3] += 100
    assert torch.allclose(session.predict(inputs)["output"][:, 3], before[:, 3] + 100, atol=1e-4)
    assert session.evaluate(inputs, targets).predictions["class"].tolist() == [3, 3, 3, 3]
    changed = session.changed_tensors()
    assert changed["classifier.2.bias"][3] == bias[3]
    changed["classifier.2.bias"].zero_()
    assert bias[3] > 50
    # A prediction once returned stays as it was.
    first = session.predict(inputs)["output"]
    copy = first.clone()
    session.predict(_named(batch(4, seed=9))[0])
    assert torch.equal(first, copy)


def test_only_the_trainable_part_changes(inline_program: Any, batch: Any) -> None:
    for session in _pair(inline_program):
        session.forward_backward(*_named(batch(2)))
        assert set(session.gradients) == set(session.parameters) == set(session.changed_tensors())
        assert all(name.startswith("classifier.") for name in session.gradients)


def test_batch_norm_statistics_agree(noisy_program: Any, batch: Any) -> None:
    device, eager = _pair(noisy_program)
    before = load_program(noisy_program.program).tensors()
    for step in range(3):
        inputs, targets = _named(batch(8, seed=step))
        losses = [session.forward_backward(inputs, targets).loss for session in (device, eager)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    changed, expected = device.changed_tensors(), eager.changed_tensors()
    assert set(changed) == set(expected)
    statistics = {f"body.{i}.running_{kind}" for i in (1, 6) for kind in ("mean", "var")}
    assert statistics <= set(changed)
    for name in statistics:
        assert _difference(changed[name], before[name]) > 1e-3, name
        assert _difference(changed[name], expected[name]) < 1e-5, name
    outputs = [session.predict(inputs)["output"] for session in (device, eager)]
    assert _difference(*outputs) < 1e-5
    # evaluate and predict leave the statistics alone.
    device.evaluate(*_named(batch(8, seed=5)))
    for name, tensor in device.changed_tensors().items():
        assert torch.equal(tensor, changed[name]), name


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_wrong_batches(digits_program: Any, batch: Any, runtime: Any) -> None:
    session = open_session(runtime, load_program(digits_program.program))
    inputs, targets = batch(4)
    wrong = [
        (batch(33), "1 to 32 samples, not 33"),
        ((inputs[:0], targets[:0]), "1 to 32 samples, not 0"),
        ((inputs[:, :, :7], targets), r"inputs of method gradients must be \[4, 1, 8, 8\] float32"),
        ((inputs[:, 0], targets), r"but are \[4, 8, 8\]"),
        ((torch.zeros(4, 1, 9, 9), targets), r"but are \[4, 1, 9, 9\]"),
        ((inputs.double(), targets), "float64"),
        ((inputs, targets[:3]), r"targets of method gradients must be \[4\] int64"),
        ((inputs, targets.float()), "float32"),
    ]
    for (x, y), message in wrong:
        with pytest.raises(InputError, match=message):
            session.forward_backward(*_named((x, y)))
    with pytest.raises(InputError, match="predict"):
        session.predict({"inputs": inputs[:, :, :7]})
    with pytest.raises(InputError, match="evaluate"):
        session.evaluate(*_named((inputs, targets[:1])))
    with pytest.raises(InputError, match="method gradients takes targets, which the samples don't have"):
        session.forward_backward({"inputs": inputs}, {"labels": targets})
    with pytest.raises(EdgetrainError, match="failed in method gradients"):
        session.forward_backward(*_named((inputs, targets + 20)))
    loss = session.forward_backward(*_named((inputs, targets))).loss
    again = open_session(runtime, load_program(digits_program.program))
    assert loss == again.forward_backward(*_named((inputs, targets))).loss


def test_targets_are_not_broadcast(regression_program: Any) -> None:
    for session in _pair(regression_program):
        with pytest.raises(InputError, match=r"targets .* must be \[3, 2\] float32, but are \[3, 1\]"):
            session.forward_backward(*_named((torch.zeros(3, 6), torch.zeros(3, 1))))


def test_somebodys_code_needs_consent(noisy_program: Any) -> None:
    program = load_program(noisy_program.program)
    for given in (None, "os:system"):
        with pytest.raises(InputError, match="confirm with --model edgetrain_test_model:make"):
            open_session("torch", program, trusted=Trusted(model=given))
    open_session("executorch", program)  # builds no model


def test_a_model_that_has_changed_since(noisy_program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import edgetrain_test_model

    program = load_program(noisy_program.program)
    monkeypatch.setattr(edgetrain_test_model, "make", lambda num_classes: edgetrain_test_model.Net(7))
    with pytest.raises(InputError, match="do not fit the model edgetrain_test_model:make"):
        open_session("torch", program, trusted=noisy_program.trusted)
    monkeypatch.setattr(edgetrain_test_model, "make", lambda num_classes: torch.nn.Linear(3, 3))
    with pytest.raises(InputError, match="do not fit the model"):
        open_session("torch", program, trusted=noisy_program.trusted)


def test_a_program_executorch_refuses(digits: Any) -> None:
    program = load_program(digits.program)
    # Of another version: a program cut short would crash this process now and then.
    content = digits.program.read_bytes()
    digits.program.write_bytes(content[:4] + b"ET99" + content[8:])
    with pytest.raises(InputError, match=r"ExecuTorch refuses .*model\.pte"):
        open_session("executorch", program)


def test_operators_are_looked_at_once(digits_program: Any, batch: Any, monkeypatch: Any) -> None:
    """Fixing random numbers takes time at every operator: models that draw none are timed without."""
    looked = []
    watched = fixed_randomness.operators_run_by
    monkeypatch.setattr(fixed_randomness, "operators_run_by", lambda run: looked.append(run) or watched(run))
    _, eager = _pair(digits_program)
    for step in range(3):
        eager.forward_backward(*_named(batch(4, seed=step)))
    assert len(looked) == 1
    eager.evaluate(*_named(batch(4)))
    eager.predict(_named(batch(4))[0])
    assert len(looked) == 2
