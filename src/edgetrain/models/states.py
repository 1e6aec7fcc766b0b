"""The tensors of a module, without what some keep beside them by `get_extra_state`: anything may be in that,
nobody computes with it, and no file of edgetrain has it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, as `state_dict` has them."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Gives a module all its parameters and buffers; extra state stays as it is.

    Raises:
        RuntimeError: names or shapes don't fit.
    """
    extra = {name: value for name, value in module.state_dict().items() if not isinstance(value, Tensor)}
    module.load_state_dict({**extra, **state})
