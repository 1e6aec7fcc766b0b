"""Writing an update into a graph in edge dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from ...upstream.edge import edge_operators
from ..module_paths import keep_path
from ..passes.onto import ONTO
from ..passes.placeholders import placeholder_of
from .products import product_of
from .scalars import SCALARS, Scalar, known

edge = edge_operators().aten


class Writer:
    """Adds operators at the end of a graph. Results that are to become a tensor's new contents are written
    onto it; what comes later reads them through the node that made them.

    Args:
        place: the node that the update of one parameter belongs to, which tells its module.
    """

    def __init__(self, program: ExportedProgram, place: Node) -> None:
        self._program = program
        self._graph = program.graph
        self._place = place

    def tensor(self, name: str) -> Node:
        """A parameter, state or hyperparameter as it is before the update."""
        return placeholder_of(self._program, name)

    def product(self, gradient: Node) -> tuple[Node, Node] | None:
        """The factors of a gradient that is one matrix product (`product_of`)."""
        return product_of(self._program, gradient)

    def make(
        self,
        target: Any,
        *args: Any,
        like: Node,
        onto: Node | None = None,
        scalars: Mapping[str | int, Scalar] | None = None,
    ) -> Node:
        """A call of an operator.

        Args:
            like: has the result's shape and dtype.
            onto: the placeholder whose new contents the result is.
            scalars: arguments (`alpha`, `beta`, or a position) that may hang on hyperparameters.
        """
        kwargs = {place: known(s) for place, s in (scalars or {}).items() if isinstance(place, str)}
        positional = [known(s) for place, s in (scalars or {}).items() if isinstance(place, int)]
        with self._graph.inserting_before(self._graph.output_node()):
            node = self._graph.call_function(target, (*args, *positional), kwargs)
        value = like.meta["val"].detach()
        with value.fake_mode:
            node.meta["val"] = torch.empty(value.shape, dtype=value.dtype)
        unknown = {place: s for place, s in (scalars or {}).items() if not isinstance(s, float)}
        if unknown:
            node.meta[SCALARS] = unknown
        if onto is not None:
            node.meta[ONTO] = onto.name
        keep_path(node, self._place)
        return node

    def scaled(self, tensor: Node, factor: Scalar, onto: Node | None = None) -> Node:
        """factor * tensor."""
        if factor == 1.0:
            return tensor
        return self.make(edge.mul.Scalar, tensor, like=tensor, onto=onto, scalars={1: factor})

    def plus(self, tensor: Node, other: Node, factor: Scalar = 1.0, onto: Node | None = None) -> Node:
        """tensor + factor * other, in the shape of `tensor`."""
        return self.make(edge.add.Tensor, tensor, other, like=tensor, onto=onto, scalars={"alpha": factor})

    def minus(self, tensor: Node, other: Node, factor: Scalar = 1.0, onto: Node | None = None) -> Node:
        """tensor - factor * other."""
        return self.make(edge.sub.Tensor, tensor, other, like=tensor, onto=onto, scalars={"alpha": factor})

    def plus_product(
        self, tensor: Node, product: tuple[Node, Node], kept: Scalar, factor: Scalar, onto: Node
    ) -> Node:
        """kept * tensor + factor * a @ b."""
        scalars: dict[str | int, Scalar] = {"beta": kept, "alpha": factor}
        return self.make(edge.addmm.default, tensor, *product, like=tensor, onto=onto, scalars=scalars)
