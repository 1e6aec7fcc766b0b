"""What a graph may call, and what not."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from edgetrain.errors import InputError
from edgetrain.models.transforms.graphs.attention import attention
from edgetrain.models.transforms.graphs.operators import check_arguments, name_of_operator, operator_named

aten = torch.ops.aten
# Core operators that no graph may call: random numbers, memory as it was before, places that nobody checks,
# and what writes into several arguments.
LEFT_OUT = {
    "rand",
    "randn",
    "randperm",
    "resize_",
    "_embedding_bag",
    "_local_scalar_dense",
    "sym_is_contiguous",
}
LEFT_OUT |= {"sym_storage_offset", "_native_batch_norm_legit", "atan2"}


@pytest.mark.parametrize(
    "function",
    [
        aten.conv2d.default,
        aten.relu_.default,
        aten.sym_size.int,
        aten.split.Tensor,
        aten.max.dim,
        aten.lstm.input,
        aten.__and__.Tensor,
        aten.copy_.default,
        operator.mul,
        torch.sym_max,
        attention,
    ],
    ids=lambda target: getattr(target, "__name__", "operator"),
)
def test_operators_by_name(function: Any) -> None:
    name = name_of_operator(function)
    assert name is not None
    assert operator_named(name) is function


@pytest.mark.parametrize(
    "name",
    [
        "aten.from_file.default",
        "aten.set_.source_Tensor",
        "aten.resize_.default",
        "aten.record_stream.default",
        "aten.manual_seed.default",
        "aten.save.default",
        "aten.item.default",
        "aten.add.out",
        "aten.add.no_such_overload",
        "aten.add.__class__",
        "aten.__class__.default",
        "aten.__init__.default",
        "aten.add",
        "aten..default",
        "aten._native_batch_norm_legit.default",
        "aten.convolution_backward.default",
        "prims.add.default",
        "quantized.linear.default",
        "torch.ops.aten.add.Tensor",
        "operator.attrgetter",
        "operator.pow",
        "builtins.eval",
        "os.system",
        "getattr",
        "__import__",
        "math.__loader__",
        "",
        "aten.add.Tensor\n",
    ],
)
def test_everything_else_is_refused(name: str) -> None:
    with pytest.raises(
        InputError, match=r"a graph calls .*, which is no operator that a checkpoint's model may"
    ):
        operator_named(name)


@pytest.mark.parametrize("function", [print, eval, operator.pow, aten.from_file.default, torch.relu, getattr])
def test_other_functions_have_no_name(function: Any) -> None:
    assert name_of_operator(function) is None


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("aten.relu.default", [], {}),
        ("aten.relu.default", [1, 2], {}),
        ("aten.relu.default", [1], {"inplace": True}),
        ("aten.gelu.default", [1, "tanh"], {}),
        ("operator.mul", [2], {}),
        ("operator.mul", [2, [1, 2]], {}),
        ("operator.mul", [2], {"b": 3}),
        ("operator.getitem", [[1, 2], 0], {}),
        ("attention", [1, 2], {}),
        ("attention", [1, 2, 3], {"__class__": 1}),
    ],
)
def test_arguments_that_it_does_not_take(name: str, args: list[Any], kwargs: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"a graph calls {name} with"):
        check_arguments(name, operator_named(name), args, kwargs)


def _core_operators() -> Iterator[tuple[str, Any]]:
    for full in torch._C._dispatch_get_all_op_names():
        if full.startswith("aten::"):
            name, _, overload = full.removeprefix("aten::").partition(".")
            function = getattr(getattr(aten, name), overload or "default", None)
            if function is not None and torch.Tag.core in function.tags:
                yield name, function


def test_core_operators_are_known() -> None:
    """Those of a newer PyTorch are seen here."""
    found = dict(_core_operators())
    assert len(found) > 150
    missing = {name for name, function in found.items() if name_of_operator(function) is None}
    assert {name for name in missing if not name.endswith("backward")} <= LEFT_OUT
