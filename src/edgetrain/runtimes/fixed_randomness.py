"""Eager PyTorch without dropout and with fixed random numbers (`artifacts.fixed_draws`), which programs with
randomness are compared with."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..artifacts import fixed_draws
from ..engine.distributions import DISTRIBUTIONS, IN_PLACE
from ..upstream.operators import operators_run_by

aten = torch.ops.aten
_RANDOM = {aten.rand.default, aten.randn.default, *DISTRIBUTIONS, *IN_PLACE}


@dataclass
class Seen:
    """What a model did in such a context.

    Attributes:
        drew: it asked for random numbers.
    """

    drew: bool = False


@contextlib.contextmanager
def no_dropout(model: nn.Module, *, fix: bool = True) -> Iterator[Seen]:
    """Runs a model without dropout whatever its mode: dropout modules, the dropout inside recurrent and
    attention modules, and calls of dropout functions. Other random numbers are fixed, as are those of
    dropouts that drop whole channels, or in place, which are written by them.

    Args:
        fix: fix random numbers. This takes a look at every operator, which makes a step several times as
            slow: of a model that is known to draw none, leave it out.
    """
    seen = Seen()

    def fixed(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        seen.drew = seen.drew or operator in _RANDOM
        return _fixed(operator, args, kwargs)

    changed: list[tuple[nn.Module, str, float]] = []
    for module in model.modules():
        is_dropout = type(module) is nn.Dropout
        value = getattr(module, "p" if is_dropout else "dropout", None)
        if isinstance(value, float) and not (is_dropout and getattr(module, "inplace", False)):
            attribute = "p" if is_dropout else "dropout"
            changed.append((module, attribute, value))
            setattr(module, attribute, 0.0)
    try:
        with _NoDropout(), operators_run_by(fixed) if fix else contextlib.nullcontext():
            yield seen
    finally:
        for module, attribute, value in changed:
            setattr(module, attribute, value)


class _NoDropout(TorchFunctionMode):
    """Turns dropout functions into the identity."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        in_place = kwargs.get("inplace", len(args) > 3 and args[3])
        if func is torch.dropout or (func is nn.functional.dropout and not in_place):
            return args[0] if args else kwargs["input"]
        if func is nn.functional.scaled_dot_product_attention:
            args, kwargs = (*args[:4], 0.0, *args[5:]) if len(args) > 4 else args, {**kwargs}
            kwargs.pop("dropout_p", None)
        return func(*args, **kwargs)


def _fixed(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs an operator, with fixed numbers for random ones."""
    if operator in (aten.rand.default, aten.randn.default):
        numbers = fixed_draws.even if operator is aten.rand.default else fixed_draws.normal
        return numbers(args[0]).to(kwargs.get("dtype") or torch.get_default_dtype())
    distribution = DISTRIBUTIONS.get(operator) or IN_PLACE.get(operator)
    if distribution is None:
        return operator(*args, **kwargs)
    with operators_run_by(_fixed):
        drawn = distribution(*args, **kwargs)
    if drawn is NotImplemented:
        return operator(*args, **kwargs)
    if operator not in IN_PLACE:
        return drawn
    into: Tensor = args[0]
    return into.copy_(drawn)
