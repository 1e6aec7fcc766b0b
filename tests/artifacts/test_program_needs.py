"""What a program asks of a runner that is built for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.manifest import load_manifest
from edgetrain.artifacts.program_needs import needs_of
from edgetrain.errors import InputError


def test_operators_are_those_of_the_manifest(digits_program: Any) -> None:
    needs = needs_of([digits_program.program.read_bytes()])
    methods = load_manifest(digits_program.manifest).contract.methods.values()
    assert set(needs.operators) == {name for method in methods for name in method.operators}
    assert list(needs.operators) == sorted(needs.operators)
    assert needs.backends == ()
    # Indices of max-pool are narrowed to uint8 between forward and backward.
    assert needs.types == ("bool", "float32", "int64", "uint8")


def test_convolutions_have_the_numbers_of_the_kernels(digits_program: Any) -> None:
    """batch, input (channels, height, width), output, kernel, stride, padding, dilation, groups"""
    assert needs_of([digits_program.program.read_bytes()]).convolutions == (
        (32, 1, 8, 8, 16, 8, 8, 3, 3, 1, 1, 1, 1, 1, 1, 1),
        (32, 16, 4, 4, 32, 4, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1),
    )


def test_several_programs_need_what_each_of_them_does(digits_program: Any, regression_program: Any) -> None:
    files = [made.program.read_bytes() for made in (digits_program, regression_program)]
    both, first, second = needs_of(files), needs_of(files[:1]), needs_of(files[1:])
    assert set(both.operators) == {*first.operators, *second.operators}
    assert set(both.types) == {*first.types, *second.types}
    assert set(both.convolutions) == {*first.convolutions, *second.convolutions}


def test_a_damaged_program(digits_program: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the program is damaged"):
        needs_of([digits_program.program.read_bytes()[:100]])
