"""How a model is given the inputs of a sample."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError


def call_model(model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
    """Runs a model on named inputs, [B, ...] each, as `arrange_inputs` passes them; every layer is called."""
    arguments, keywords = arrange_inputs(model, inputs)
    if torch.compiler.is_compiling():  # the switch can't be captured; whoever captures has set it
        return model(*arguments, **keywords)
    with every_layer_called():
        return model(*arguments, **keywords)


@contextmanager
def every_layer_called() -> Iterator[None]:
    """Has attention call its layers in evaluation, too.

    PyTorch has one operator for a whole encoder layer (`torch.backends.mha`), which reads the weights of the
    layers inside and never calls them: what they were replaced by, as by an adapter, would count for nothing.
    ExecuTorch has no kernel for it either.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def arrange_inputs(
    model: nn.Module, inputs: Mapping[str, Tensor]
) -> tuple[tuple[Tensor, ...], dict[str, Tensor]]:
    """Named inputs as positional arguments and keywords of a model: copies, since it may write into them. (A
    graph that is captured gets its own where that is so, see `export.passes.copied_inputs`.)

    A single input is the only argument. Several are passed by name where the model's `forward` has parameters
    of all their names, otherwise in their order.

    Raises:
        UsageError: some have a parameter's name, but not its position: either reading would be a guess.
    """
    if not torch.compiler.is_compiling():
        inputs = {name: tensor.clone() for name, tensor in inputs.items()}
    if len(inputs) == 1:
        return tuple(inputs.values()), {}
    names = list(inspect.signature(model.forward).parameters)
    if all(name in names for name in inputs):
        return (), dict(inputs)
    for position, name in enumerate(inputs):
        if name in names and names.index(name) != position:
            raise UsageError(
                f"the model takes {', '.join(names)}, the data has {', '.join(inputs)}; name all inputs as "
                "the model does, or put them in its order with --inputs"
            )
    return tuple(inputs.values()), {}
