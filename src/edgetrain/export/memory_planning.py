"""Memory planning in which all methods of a program work on one set of weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from executorch.exir.memory_planning import get_node_tensor_specs
from executorch.exir.passes import MemoryPlanningPass
from torch.fx import Node

from ..artifacts.program import WEIGHTS_ARENA
from ..upstream import HAS_GRADIENT, STARTS_FROM_STORED, STORED_IN


class SharedWeightsPlanning(MemoryPlanningPass):
    """Gives every mutable weight one place in an arena of its own, the same place in each method.

    What one method writes (a parameter update, running statistics), the others then read. Everything else
    is planned as usual.

    Args:
        mutable: names of the tensors that training changes: trainable parameters and mutated buffers.
        external: names of the tensors that are read from a .ptd rather than from the program.
    """

    def __init__(self, mutable: Iterable[str], external: Iterable[str] = ()) -> None:
        super().__init__()
        self.mutable = set(mutable)
        self.external = set(external)
        self.offsets: dict[str, int] = {}
        self.arena_bytes = 0
        self._graph_modules: list[torch.fx.GraphModule] = []

    def run(self, graph_module: torch.fx.GraphModule, graph_signature: Any = None) -> Any:
        """Plans one method."""
        weights = self._claim_weights(graph_module, graph_signature)
        result = super().run(graph_module, graph_signature)
        for name, node in weights:
            spec = get_node_tensor_specs(node)[0]
            if name not in self.offsets:
                spec.realign(self.alignment)
                self.offsets[name] = self.arena_bytes
                self.arena_bytes += spec.allocated_memory
            spec.mem_id, spec.mem_obj_id, spec.mem_offset = WEIGHTS_ARENA, None, self.offsets[name]
        self._graph_modules.append(graph_module)
        return result

    def run_multimethod(self) -> None:
        """Declares the weights' arena in each method, once all of them are planned; none if none changes."""
        if not self.offsets:
            return
        for graph_module in self._graph_modules:
            sizes = graph_module.meta["non_const_buffer_sizes"]
            if len(sizes) != WEIGHTS_ARENA:
                raise RuntimeError(f"expected one planned arena besides the weights, found sizes {sizes}")
            sizes.append(self.arena_bytes)

    def _claim_weights(self, graph_module: torch.fx.GraphModule, signature: Any) -> list[tuple[str, Node]]:
        """Finds the placeholders of weights, tags external ones, keeps mutable ones out of arena 1."""
        names: dict[str, str] = {}
        if signature is not None:
            names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        claimed = []
        for node in graph_module.graph.nodes:
            name = names.get(node.target) if node.op == "placeholder" else None
            if name is None:
                continue
            if name in self.external:
                node.meta[STORED_IN] = "weights"
            if name in self.mutable:
                # Both marks have ExecuTorch plan the weight among activations; the second also says that
                # a mutated buffer starts from its stored value (it would start from zero).
                node.meta.pop(HAS_GRADIENT, None)
                node.meta[STARTS_FROM_STORED] = True
                claimed.append((name, node))
        return claimed
