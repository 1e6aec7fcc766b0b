"""Tapes written by hand."""

from __future__ import annotations

from collections.abc import Iterable

from torch.fx import Graph

from edgetrain.export.recomputation.tape import Operation, Tape


def operation(
    reads: Iterable[int], makes: int, *, macs: int = 0, cheap: bool = False, random: bool = False
) -> Operation:
    """One that makes a tensor, not in place of another."""
    node = Graph().placeholder("any")
    return Operation(node, tuple(reads), (makes,), (), macs, cheap, not random, False)


def tape(sizes: list[int], forward: list[Operation], backward: list[Operation]) -> Tape:
    """Of a step whose only input is storage 0 and whose output is the last of forward."""
    return Tape(
        forward=tuple(forward),
        backward=tuple(backward),
        nodes=set(),
        of={},
        sizes=sizes,
        maker={storage: i for i, o in enumerate(forward) for storage in o.makes},
        inputs={0},
        outputs={forward[-1].makes[0]},
    )


def chain(layers: int, *, wide: int = 100, narrow: int = 10, random: int | None = None) -> Tape:
    """Blocks of two layers, narrow → wide → narrow, and a backward that reads what each layer read.

    Storage i is what layer i reads; behind those of forward lie the gradients of each, as large as it.

    Args:
        random: a layer that can't be called again.
    """
    sizes = [wide if i % 2 else narrow for i in range(layers)] + [1]
    forward = [operation([i], i + 1, macs=1000, random=i == random) for i in range(layers)]
    backward = []
    gradient = layers
    for i in reversed(range(layers)):
        sizes.append(sizes[i])
        backward.append(operation([i, gradient], len(sizes) - 1, macs=2000))
        gradient = len(sizes) - 1
    return tape(sizes, forward, backward)
