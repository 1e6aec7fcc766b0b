"""How large the terms are that each gradient is the sum of.

A parameter's gradient is a sum over samples, positions and calls. The operation that uses the parameter is
asked a second time, with random signs on the gradient that reaches it: nothing cancels then but by chance,
and the norm of what comes out is that of the terms, sqrt(sum of squares).

That is done for vectors (biases, scales, tokens). The many products that a matrix's gradient is made of don't
cancel as a whole, and asking for them again would take half as long as the whole backward pass.

The mean that batch norm keeps cancels, too: behind a layer without bias whose input is normalised it is zero.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..upstream.layers import batch_norm_types
from ..upstream.values import result_shapes


def watch_terms(loss: Tensor, parameters: Mapping[str, Tensor]) -> dict[str, float]:
    """To be called between forward and backward.

    Args:
        loss: what `backward` will be called on.
        parameters: leaves, by name.
    Returns:
        sizes of their gradients' terms in the 2-norm, by name; filled in as `backward` runs, 0 for matrices
        and where the operation that uses a parameter isn't found.
    """
    sizes = dict.fromkeys(parameters, 0.0)
    names = {id(p): name for name, p in parameters.items() if p.numel() == max(p.shape, default=1)}
    generator = torch.Generator().manual_seed(0)
    for node in _nodes(loss.grad_fn):
        # What has one input (a view, a transposition) hands a gradient on as it is.
        inputs = [following for following, _ in node.next_functions]
        leaves = [_leaf(following) for following in inputs] if len(inputs) > 1 else []
        used = {i: names[id(leaf)] for i, leaf in enumerate(leaves) if leaf is not None and id(leaf) in names}
        if used:
            node.register_prehook(_Ask(node, used, sizes, generator))
    return sizes


@contextlib.contextmanager
def watch_means(model: nn.Module) -> Iterator[dict[str, float]]:
    """While it lasts, batch norms in training tell the terms of what a step adds to their running mean.

    Yields:
        sizes in the 2-norm by buffer, filled in as the model runs.
    """
    sizes: dict[str, float] = {}

    def watch(name: str, layer: Any) -> Any:
        def ask(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if layer.training and layer.running_mean is not None:
                x = inputs[0].detach().double().transpose(0, 1).flatten(1)
                share = 1.0 if layer.momentum is None else layer.momentum
                sizes[f"{name}.running_mean"] = share * x.norm().item() / x.shape[1]

        return layer.register_forward_pre_hook(ask)

    handles = [watch(n, m) for n, m in model.named_modules() if isinstance(m, batch_norm_types())]
    try:
        yield sizes
    finally:
        for handle in handles:
            handle.remove()


class _Ask:
    """Called with the gradients that reach an operation, before its own backward runs. The operation alone is
    asked, and not what lies behind it: in a recurrent layer that would be all earlier steps, whose operations
    use the same parameter."""

    def __init__(
        self, node: Any, used: Mapping[int, str], sizes: dict[str, float], generator: torch.Generator
    ) -> None:
        self._node, self._used, self._sizes, self._generator = node, used, sizes, generator

    def __call__(self, gradients: Sequence[Tensor | None]) -> None:
        signed = [None if gradient is None else self._with_random_signs(gradient) for gradient in gradients]
        found = _run(self._node, *signed)
        for place, name in self._used.items():
            terms, (following, result) = found[place], self._node.next_functions[place]
            while terms is not None and following.next_functions:
                # Of what parts a tensor, as attention does its bias, this is one part's. A sum's own backward
                # leaves it to others to add up what was broadcast.
                shapes = result_shapes(following)
                given: list[Tensor | None] = [None] * len(shapes)
                given[result] = terms.sum_to_size(shapes[result])
                (terms,), (following, result) = _run(following, *given), following.next_functions[0]
            if terms is not None:
                self._sizes[name] = (self._sizes[name] ** 2 + terms.double().norm().item() ** 2) ** 0.5

    def _with_random_signs(self, gradient: Tensor) -> Tensor:
        signs = torch.randint(0, 2, gradient.shape, generator=self._generator)
        return gradient * (2 * signs - 1)


def _run(node: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    """The backward of one operation."""
    with torch.no_grad():
        # Those that are written in Python have a method for it.
        found = node(*gradients) if callable(node) else node.apply(*gradients)
    return found if isinstance(found, tuple) else (found,)


def _nodes(root: Any) -> Iterator[Any]:
    """All operations of a backward graph."""
    seen, waiting = {root}, [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        yield node
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)


def _leaf(node: Any) -> Tensor | None:
    """The leaf that an operation hands its gradient on to; None where it has several inputs."""
    while node is not None and len(node.next_functions) == 1:
        node = node.next_functions[0][0]
    return getattr(node, "variable", None)
