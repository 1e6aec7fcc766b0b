"""How an operator of edgetrain's own is made known to PyTorch, and through it to ExecuTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ...artifacts.program_needs import OWN_NAMESPACE

_library = torch.library.Library(OWN_NAMESPACE, "DEF")


def define(
    name: str,
    arguments: str,
    results: Sequence[str],
    compute: Callable[..., Tensor | tuple[Tensor, ...]],
    empty: Callable[..., Tensor | tuple[Tensor, ...]],
) -> Any:
    """Registers NAME and, for programs, NAME.out, which writes into memory it is given.

    Args:
        arguments: as schemas have them.
        results: their names in NAME.out.
        compute: NAME on the CPU. Results are new tensors.
        empty: tensors of the results' shapes and types, which may depend on a symbolic batch.
    Returns:
        the operator. Like `compute` and `empty` it returns a tensor, or a tuple of several.
    """
    letters = "abcdefgh"[: len(results)]
    outs = ", ".join(f"Tensor({letter}!) {result}" for letter, result in zip(letters, results, strict=True))
    _library.define(f"{name}({arguments}) -> ({', '.join(['Tensor'] * len(results))})")
    _library.define(
        f"{name}.out({arguments}, *, {outs}) -> ({', '.join(f'Tensor({letter}!)' for letter in letters)})"
    )
    packet: Any = getattr(getattr(torch.ops, OWN_NAMESPACE), name)
    operator = packet.default

    def write(*args: Any, **kwargs: Any) -> Tensor | tuple[Tensor, ...]:
        into = [kwargs.pop(result) for result in results]
        found = operator(*args, **kwargs)
        for out, value in zip(into, found if len(into) > 1 else [found], strict=True):
            out.resize_(value.shape).copy_(value)
        return tuple(into) if len(into) > 1 else into[0]

    _library.impl(name, compute, "CPU")
    _library.impl(f"{name}.out", write, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{OWN_NAMESPACE}::{name}", empty, lib=_library)
    return operator


def differentiable(operator: Any, keep: Callable[..., None], backward: Callable[..., Any]) -> None:
    """Gives an operator its gradient.

    Args:
        keep: (ctx, inputs, output), as `torch.library.register_autograd` has it.
        backward: (ctx, *gradients) → gradients; None stands for those that nobody needs.
    """

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.set_materialize_grads(False)
        keep(ctx, inputs, output)

    torch.library.register_autograd(operator, backward, setup_context=setup, lib=_library)
