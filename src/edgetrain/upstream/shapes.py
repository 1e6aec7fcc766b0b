"""Results of operators that look like one of their arguments, told without working them out.

Where a batch is open, PyTorch learns what an operator returns by running its rule in Python, which for a
`hardtanh` takes some 50 ms: comparisons, promotions and symbolic algebra to say "like the input".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Elementwise, of one tensor and numbers: `NAME.default` and, for most, `NAME_.default`.
_ELEMENTWISE = (
    "celu",
    "clamp",
    "elu",
    "erf",
    "exp",
    "gelu",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log",
    "mish",
    "relu",
    "rsqrt",
    "sigmoid",
    "silu",
    "softplus",
    "sqrt",
    "tanh",
)
_ROWS = ("_log_softmax", "_softmax")
_BATCH_NORM = "_native_batch_norm_legit_no_training"


@contextmanager
def known_shapes() -> Iterator[None]:
    """Adds to what PyTorch's fake tensors know at once (`torch._subclasses.fake_impls.get_fast_op_impls`),
    for tensors of floating point that lie in memory in their order; others take the rule, as before."""
    import torch
    from torch._decomp import decomposition_table
    from torch._subclasses.fake_impls import get_fast_op_impls

    known: dict[Any, Any] = get_fast_op_impls()
    before = dict(known)
    rules: dict[str, Callable[[Any, Callable[..., Any]], Any]] = {
        **dict.fromkeys((*_ELEMENTWISE, *_ROWS), _like_the_first),
        **{f"{name}_": _the_first for name in _ELEMENTWISE},
        _BATCH_NORM: _normalized,
    }
    for name, rule in rules.items():
        operator = getattr(getattr(torch.ops.aten, name, None), "default", None)
        if operator in decomposition_table and operator not in known:
            known[operator] = _where_plain(rule, decomposition_table[operator])
    try:
        yield
    finally:
        known.clear()
        known.update(before)


def _where_plain(told: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
    import torch
    from torch._prims_common import is_contiguous_or_false

    def result(mode: Any, *args: Any, **kwargs: Any) -> Any:
        tensors = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        alike = all(t.dtype == tensors[0].dtype and t.device == tensors[0].device for t in tensors)
        numbers = not any(value is True for value in (*args, *kwargs.values()))  # as `half_to_float`
        if alike and numbers and tensors[0].is_floating_point() and is_contiguous_or_false(tensors[0]):
            return told(mode, *args)
        with mode:
            return rule(*args, **kwargs)

    return result


def _like_the_first(mode: Any, x: Any, *_: Any) -> Any:
    return _new(mode, x, x.shape)


def _the_first(mode: Any, x: Any, *_: Any) -> Any:
    return x


def _normalized(mode: Any, x: Any, *_: Any) -> Any:
    """The result, and two tensors of length 0 that stand for a mean and deviation nobody took."""
    return _new(mode, x, x.shape), _new(mode, x, (0,)), _new(mode, x, (0,))


def _new(mode: Any, x: Any, shape: Any) -> Any:
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    return FakeTensor(mode, torch.empty(shape, dtype=x.dtype, device="meta"), device=x.device)
