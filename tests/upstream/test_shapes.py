"""What is told of results at once is what PyTorch's rules say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_impls import get_fast_op_impls
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from edgetrain.upstream.shapes import known_shapes

aten = torch.ops.aten
CALLS: dict[str, Callable[[Tensor], object]] = {
    "batch_norm": lambda x: aten._native_batch_norm_legit_no_training(
        x, *(torch.ones(4) for _ in range(4)), 0.1, 1e-5
    ),
    "clamp": lambda x: aten.clamp(x, 0.0, 1.0),
    "elu": aten.elu,
    "gelu": lambda x: aten.gelu(x, approximate="tanh"),
    "hardswish": aten.hardswish,
    "hardtanh": lambda x: aten.hardtanh(x, 0, 6),
    "hardtanh_": lambda x: aten.hardtanh_(x, 0, 6),
    "log_softmax": lambda x: aten._log_softmax(x, 1, False),
    "relu": aten.relu,
    "relu_": aten.relu_,
    "sigmoid": aten.sigmoid,
    "silu": aten.silu,
    "softplus": aten.softplus,
}
INPUTS: dict[str, Callable[[], Tensor]] = {
    "plain": lambda: torch.randn(3, 4, 5, 6),
    "half": lambda: torch.randn(3, 4, 5, 6).half(),
    "channels last": lambda: torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last),
    "permuted": lambda: torch.randn(3, 6, 5, 4).transpose(1, 3),
    "integers": lambda: torch.ones(3, 4, 5, 6, dtype=torch.int64),
}


def looks(call: Callable[[Tensor], object], make: Callable[[], Tensor]) -> list[tuple[object, ...]] | str:
    """Of results for an open batch: type, shape, strides, device, and whether it is the input itself."""
    mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    real = make()
    sizes = [DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (real.dim() - 1)]
    x = mode.from_tensor(real, symbolic_context=StatelessSymbolicContext(dynamic_sizes=sizes))
    try:
        with mode:
            found = call(x)
    except RuntimeError as error:
        return type(error).__name__
    results = found if isinstance(found, tuple) else (found,)
    assert all(isinstance(result, FakeTensor) for result in results)
    return [
        (r.dtype, str(tuple(r.shape)), str(tuple(r.stride())), r.device, r is x)
        for r in results
        if isinstance(r, Tensor)
    ]


@pytest.mark.parametrize("given", INPUTS)
@pytest.mark.parametrize("name", CALLS)
def test_they_look_as_by_the_rules(name: str, given: str) -> None:
    with known_shapes():
        found = looks(CALLS[name], INPUTS[given])
    assert found == looks(CALLS[name], INPUTS[given])


def test_they_are_told_at_once_and_only_for_a_while() -> None:
    before = dict(get_fast_op_impls())
    with known_shapes():
        assert len(get_fast_op_impls()) > len(before) + 20
    assert get_fast_op_impls() == before
