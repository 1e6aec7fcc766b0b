"""Dropout turned off in finished programs: in both ways, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from edgetrain.artifacts import without_dropout as module
from edgetrain.artifacts.fixed_draws import kernel_calls
from edgetrain.artifacts.program import deserialize, load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.artifacts.without_dropout import without_dropout
from edgetrain.errors import InputError
from edgetrain.factories import Trusted
from edgetrain.runtimes import open_session
from edgetrain.upstream.files import write_program

DROPOUT, FILL = "aten::native_dropout", "aten::full_like"
WAYS: list[Callable[[bytes], bytes | None]] = [module._overwritten, module._written_anew]


def calls_of(program: bytes) -> list[tuple[str, list[Any]]]:
    """All calls with the values that they are given."""
    return [
        (plan.operators[call.op_index].name, [plan.values[index].val for index in call.args])
        for plan in deserialize(program).program.execution_plan
        for call in kernel_calls(plan)
    ]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_else_changes(noisy_program: Any, way: Callable[[bytes], bytes | None]) -> None:
    before = noisy_program.program.read_bytes()
    after = way(before)
    assert after is not None
    silenced = unscaled = 0
    for old, new in zip(calls_of(before), calls_of(after), strict=True):
        if old == new:
            continue
        (operator, given), (same, changed) = old, new
        assert operator == same
        numbers = given[1].double_val, changed[1].double_val
        if operator == DROPOUT:
            assert numbers in ((0.5, 0.0), (0.25, 0.0))
            silenced += 1
        else:
            assert operator == FILL
            assert numbers in ((2.0, 1.0), (1 / 0.75, 1.0))
            unscaled += 1
        assert given[:1] + given[2:] == changed[:1] + changed[2:]
    assert silenced == unscaled > 0
    assert [name for name, _ in calls_of(before)].count(DROPOUT) == silenced


def test_programs_without_dropout_stay(digits_program: Any) -> None:
    plain = digits_program.program.read_bytes()
    assert without_dropout(plain) == plain
    assert calls_of(module._written_anew(plain)) == calls_of(plain)


def test_a_number_that_others_read_stays_for_them(noisy_program: Any) -> None:
    """ExecuTorch gives equal numbers of a method one value."""
    file = deserialize(noisy_program.program.read_bytes())
    for plan in file.program.execution_plan:
        calls = list(kernel_calls(plan))
        dropouts = [call for call in calls if plan.operators[call.op_index].name == DROPOUT]
        if dropouts:
            other = next(call for call in calls if plan.operators[call.op_index].name == "aten::add")
            other.args[2] = dropouts[0].args[1]
    shared = write_program(file)
    assert module._overwritten(shared) is None
    scaled = [given[2] for name, given in calls_of(without_dropout(shared)) if name == "aten::add"]
    assert any(getattr(scale, "double_val", None) in (0.5, 0.25) for scale in scaled)
    probabilities = [given[1] for name, given in calls_of(without_dropout(shared)) if name == DROPOUT]
    assert {p.double_val for p in probabilities} == {0.0}


@pytest.mark.parametrize("way", WAYS)
def test_what_others_have_written(noisy_program: Any, way: Callable[[bytes], bytes | None]) -> None:
    file = deserialize(noisy_program.program.read_bytes())
    for plan in file.program.execution_plan:
        for operator in plan.operators:
            operator.name = operator.name.replace(FILL, "aten::clone")
    with pytest.raises(InputError, match="was not written by edgetrain"):
        way(write_program(file))


def test_damage_is_an_input_error(noisy_program: Any) -> None:
    whole = noisy_program.program.read_bytes()
    with pytest.raises(InputError, match="damaged"):
        without_dropout(whole[:1000])


def test_dropout_off_is_eager_without_dropout(noisy_program: Any, batch: Any) -> None:
    program = load_program(noisy_program.program)
    inputs, targets = ({name: part} for name, part in zip((INPUTS, TARGETS), batch(8), strict=True))
    noisy = [open_session("executorch", program).forward_backward(inputs, targets).loss for _ in range(2)]
    assert noisy[0] != noisy[1]
    quiet = [open_session("executorch", program, dropout=False) for _ in range(2)]
    losses = [session.forward_backward(inputs, targets).loss for session in quiet]
    assert losses[0] == losses[1]
    eager = open_session("torch", program, dropout=False, trusted=Trusted(noisy_program.model))
    loss = eager.forward_backward(inputs, targets).loss
    assert losses[0] == pytest.approx(loss, rel=1e-5)
    for name, gradient in eager.gradients.items():
        torch.testing.assert_close(quiet[0].gradients[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
