from __future__ import annotations

import struct
from typing import Any

import pytest

from edgetrain.artifacts.fixed_draws import kernel_calls
from edgetrain.artifacts.program import deserialize
from edgetrain.upstream.flat_programs import flat_plans


def test_calls_and_numbers_are_those_of_the_program_taken_apart(noisy_program: Any) -> None:
    data = noisy_program.program.read_bytes()
    found, expected = flat_plans(data), deserialize(data).program.execution_plan
    assert len(found) == len(expected)
    numbers = 0
    for flat, plan in zip(found, expected, strict=True):
        assert [(call.operator, call.args) for call in flat.calls] == [
            (plan.operators[call.op_index].name, call.args) for call in kernel_calls(plan)
        ]
        for index, value in enumerate(plan.values):
            number = getattr(value.val, "double_val", 0.0)
            place = flat.place_of_float(index)
            assert (place is None) == (number == 0.0)
            if place is not None:
                assert struct.unpack_from("<d", data, place) == (number,)
                numbers += 1
    assert numbers


def test_damage_is_an_exception(noisy_program: Any) -> None:
    data = bytearray(noisy_program.program.read_bytes())
    data[:4] = b"\xff\xff\xff\x7f"
    with pytest.raises(Exception):  # noqa: B017, of whatever type
        flat_plans(data)
