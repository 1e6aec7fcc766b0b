"""Arguments of calls as plain data."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch.fx import Graph

from edgetrain.errors import InputError
from edgetrain.models.transforms.graphs.values import NotPlainError, decode, encode

NODE = Graph().placeholder("x")


def _find(reference: str) -> Any:
    assert reference == "%x"
    return NODE


def _kind(value: object) -> str:
    """A name of a case that is the same in every process."""
    return type(value).__name__


@pytest.mark.parametrize(
    "value",
    [
        None, True, -3, 0.25, math.inf, -math.inf, "tanh", "%x", torch.float32, torch.channels_last,
        torch.strided, torch.device("cpu"), slice(None, 2, None), NODE, [1, [NODE, None], [True, "@y"]],
        {"out": NODE, "aux": [NODE]},
    ],
    ids=_kind,
)  # fmt: skip
def test_there_and_back(value: Any) -> None:
    plain = json.loads(json.dumps(encode(value, lambda node: f"%{node.name}"), allow_nan=False))
    found = decode(plain, _find)
    assert found == value
    assert type(found) is type(value)


def test_nan() -> None:
    assert math.isnan(decode(encode(math.nan, str), _find))


def test_tuples_become_lists_and_devices_the_cpu() -> None:
    assert decode(encode((1, (NODE,)), lambda node: "%x"), _find) == [1, [NODE]]
    assert decode(encode(torch.device("cuda", 1), str), _find) == torch.device("cpu")


@pytest.mark.parametrize("value", [1j, object(), {1: 2}, torch.zeros(2), torch.relu, b"x"], ids=_kind)
def test_what_is_not_plain(value: Any) -> None:
    with pytest.raises(NotPlainError, match=f"it has a {type(value).__name__} in it"):
        encode(value, str)


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        {}, {"text": 1}, {"text": "x" * 2000}, {"dtype": "float32", "text": "x"}, {"dtype": "nn"},
        {"dtype": "float32.__class__"}, {"dtype": "Tensor"}, {"dtype": "_inductor"}, {"device": "cuda"},
        {"named": {1: 2}}, {"eval": "1"}, {"number": torch.zeros(2)}, 1j, torch.zeros(2), 2**70,
        {"number": "1e5"}, {"slice": [1]}, _nested(20), _nested(50_000), {"named": {"a": _nested(20)}},
    ],
    ids=_kind,
)  # fmt: skip
def test_what_stands_for_nothing(value: Any) -> None:
    with pytest.raises(
        InputError, match=r"a graph has a value that (stands for nothing|is nested too deeply)"
    ):
        decode(value, _find)
