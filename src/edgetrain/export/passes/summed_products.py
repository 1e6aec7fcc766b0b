"""A sum of many matrix products as one product, and a sum of many sums as one sum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .merged_permutes import merged_permutes
from .rewriting import arguments, calls, computed, finish, permutation, replace, same_shape

aten = torch.ops.aten
# From how many parts on: below that, joining what they are made of costs more than it saves.
_LEAST = 4


def summed_products(program: ExportedProgram) -> int:
    """Merges the parts of gradients that a weight gets from each step of a recurrent layer; returns how many
    went.

    aᵢᵀbᵢ added up over i is AᵀB, with the aᵢ below one another in A and the bᵢ in B: one large product for
    many small ones and as many additions. So are their transposes. Sums over rows, which gradients of biases
    are, go the same way.
    """
    count = 0
    for node in calls(program, aten.add.Tensor):
        if not _is_plain(node) or any(_is_plain(user) for user in node.users if len(node.users) == 1):
            continue
        parts = _parts(node)
        if len(parts) < _LEAST:
            continue
        kinds: list[tuple[Callable[[Node], bool], Callable[[list[Node]], Node]]] = [
            (_is_product, _product),
            (_is_transposed_product, _transposed_product),
            (_is_row_sum, _row_sum),
        ]
        left, merged = list(parts), []
        for is_kind, make in kinds:
            found = [part for part in left if is_kind(part)]
            if len(found) >= _LEAST:
                left = [part for part in left if part not in found]
                with program.graph.inserting_before(node):
                    merged.append(make(found))
                count += len(found)
        if not merged:
            continue
        with program.graph.inserting_before(node):
            total = merged[0]
            for part in (*merged[1:], *left):
                total = computed(program.graph, aten.add.Tensor, (total, part), node)
        replace(program, node, total)
    finish(program)
    if count:
        merged_permutes(program)
    return count


def _is_plain(node: Node) -> bool:
    """Whether it adds two tensors of one shape."""
    if node.target is not aten.add.Tensor or node.kwargs or len(node.args) != 2:
        return False
    return all(isinstance(part, Node) and same_shape(part, node) for part in node.args)


def _parts(node: Node) -> list[Node]:
    """What a tree of additions adds up, each one needed by nothing else, in the order of their numbers."""
    found: list[Node] = []
    waiting = [node]
    while waiting:
        for part in reversed(arguments(waiting.pop())):
            alone = len(part.users) == 1
            if alone and _is_plain(part):
                waiting.append(part)
            else:
                found.append(part)
    return found


def _is_product(node: Node) -> bool:
    """aᵀb, of two tensors with as many rows."""
    return node.target is aten.mm.default and len(node.users) == 1 and _is_transpose(arguments(node)[0])


def _product(parts: list[Node]) -> Node:
    graph = parts[0].graph
    lefts = [arguments(arguments(part)[0])[0] for part in parts]
    rights = [arguments(part)[1] for part in parts]
    left = computed(graph, aten.cat.default, (lefts, 0), parts[0])
    right = computed(graph, aten.cat.default, (rights, 0), parts[0])
    turned = computed(graph, aten.permute.default, (left, [1, 0]), parts[0])
    return computed(graph, aten.mm.default, (turned, right), parts[0])


def _is_transposed_product(node: Node) -> bool:
    return _is_transpose(node) and len(node.users) == 1 and _is_product(arguments(node)[0])


def _transposed_product(parts: list[Node]) -> Node:
    whole = _product([arguments(part)[0] for part in parts])
    return computed(whole.graph, aten.permute.default, (whole, [1, 0]), parts[0])


def _is_transpose(node: Node) -> bool:
    return node.target is aten.permute.default and permutation(node) == [1, 0]


def _is_row_sum(node: Node) -> bool:
    """The sum of a matrix over its rows."""
    if node.target is not aten.sum.dim_IntList or len(node.users) != 1 or node.kwargs:
        return False
    x, dims = arguments(node)[:2]
    return list(dims) == [0] and x.meta["val"].dim() == 2


def _row_sum(parts: list[Node]) -> Node:
    graph, (_, *dims) = parts[0].graph, arguments(parts[0])
    rows = computed(graph, aten.cat.default, ([arguments(part)[0] for part in parts], 0), parts[0])
    return computed(graph, aten.sum.dim_IntList, (rows, *dims), parts[0])
