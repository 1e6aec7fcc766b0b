"""Memory planning in which all methods of a program work on one set of weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from executorch.exir.memory_planning import get_node_tensor_specs
from executorch.exir.passes import MemoryPlanningPass
from torch.export.graph_signature import ExportGraphSignature
from torch.fx import GraphModule

from ..artifacts.program import WEIGHTS_ARENA
from ..upstream.edge import lie_in, storage_of
from ..upstream.node_keys import HAS_GRADIENT, IN_PLACE_OF, STARTS_FROM_STORED, STORED_IN
from .memory.placement import place
from .memory.planned import check_contents, check_places, interval_of, timeline_of
from .memory.timeline import MemoryTimeline
from .optimizers.scalars import put_scalars
from .passes.onto import target_of


class SharedWeightsPlanning:
    """Gives every mutable tensor one place in an arena of its own, the same place in each method.

    What one method writes (a parameter update, running statistics), the others then read. Everything else
    lies in each method's own arena, at the least height that the order of its operators allows.

    Args:
        mutable: names of the tensors that training changes: trainable parameters, mutated buffers and the
            state of an optimizer in the graph. They lie in this order.
        external: names of the tensors that are read from a .ptd rather than from the program.
        from_zero: names of mutable buffers that begin with zeros and are stored nowhere.

    Attributes:
        offsets: where each mutable tensor that a method has lies in the weights' arena [bytes].
        arena_bytes: of the weights' arena.
        timelines: what lives when, by method.
    """

    def __init__(
        self, mutable: Iterable[str], external: Iterable[str] = (), from_zero: Iterable[str] = ()
    ) -> None:
        self.from_zero = set(from_zero)
        self.external = set(external) - self.from_zero
        self.offsets: dict[str, int] = {}
        self.arena_bytes = 0
        self._specs: dict[str, list[Any]] = {name: [] for name in mutable}
        self.timelines: dict[str, MemoryTimeline] = {}

    def passes(self, methods: Iterable[str]) -> dict[str, MemoryPlanningPass]:
        """The pass of each method, as `ExecutorchBackendConfig` takes them."""
        return {name: _MethodPlanning(name, self) for name in methods}

    def claim(self, graph_module: GraphModule, signature: Any, alignment: int) -> None:
        """Finds the placeholders of weights, tags external ones, and keeps mutable ones out of arena 1, with
        what is written onto them."""
        names: dict[str, str] = {}
        if signature is not None:
            names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        for node in graph_module.graph.nodes:
            name = names.get(node.target) if node.op == "placeholder" else None
            if name is None:
                continue
            if name in self.external:
                node.meta[STORED_IN] = "weights"
            if name in self._specs:
                # With the first mark it would be planned among activations; the second says that a mutable
                # buffer starts from its stored value (it would start from zero).
                node.meta.pop(HAS_GRADIENT, None)
                node.meta[STARTS_FROM_STORED] = name not in self.from_zero
                spec = get_node_tensor_specs(node)[0]
                spec.realign(alignment)
                spec.mem_id = WEIGHTS_ARENA
                self._specs[name].append(spec)
        _write_onto(graph_module)

    def place_weights(self) -> int:
        """Places the mutable tensors of all methods, once; returns the bytes of their arena."""
        if not self.offsets:
            for name, specs in self._specs.items():
                for spec in specs:
                    spec.mem_offset = self.arena_bytes
                if specs:
                    self.offsets[name] = self.arena_bytes
                    self.arena_bytes += specs[0].allocated_memory
        return self.arena_bytes


class _Fixed(ExportGraphSignature):
    """A signature that doesn't change any more. ExecuTorch's planning asks for these mappings once for every
    tensor of a graph, and each time they would be made anew."""

    def __init__(self, signature: ExportGraphSignature) -> None:
        super().__init__(signature.input_specs, signature.output_specs)
        self._parameters = signature.inputs_to_parameters
        self._buffers = signature.inputs_to_buffers
        self._mutated = signature.buffers_to_mutate

    @property
    def inputs_to_parameters(self) -> Mapping[str, str]:
        return self._parameters

    @property
    def inputs_to_buffers(self) -> Mapping[str, str]:
        return self._buffers

    @property
    def buffers_to_mutate(self) -> Mapping[str, str]:
        return self._mutated


class _MethodPlanning(MemoryPlanningPass):
    """Plans one method."""

    def __init__(self, method: str, shared: SharedWeightsPlanning) -> None:
        super().__init__(memory_planning_algo=_place_activations)
        self.method = method
        self.shared = shared
        self.graph_module: GraphModule | None = None

    def run(self, graph_module: GraphModule, graph_signature: Any = None) -> Any:
        """Gives every tensor of the method its place.

        Raises:
            RuntimeError: two tensors got into each other's way, which is a bug.
        """
        self.graph_module = graph_module
        self.shared.claim(graph_module, graph_signature, self.alignment)
        fixed = None if graph_signature is None else _Fixed(graph_signature)
        result = super().run(graph_module, fixed)
        check_contents(graph_module)
        check_places(graph_module)
        self.shared.timelines[self.method] = timeline_of(self.method, graph_module, graph_signature)
        # Nothing traces the graph any more.
        put_scalars(graph_module)
        return result

    def run_multimethod(self) -> None:
        """Declares the weights' arena, once all methods are planned; none if no weight changes."""
        assert self.graph_module is not None
        weights = self.shared.place_weights()
        if not weights:
            return
        sizes = self.graph_module.meta["non_const_buffer_sizes"]
        if len(sizes) != WEIGHTS_ARENA:
            raise RuntimeError(f"expected one planned arena besides the weights, found sizes {sizes}")
        sizes.append(weights)


def _write_onto(graph_module: GraphModule) -> None:
    """Gives results that are written onto weights the weights' memory, in the method's outputs too."""
    specs = {node.name: node.meta["spec"] for node in graph_module.graph.nodes if node.op == "placeholder"}
    moved: dict[int, Any] = {}
    for node in graph_module.graph.nodes:
        written = target_of(node) if node.op == "call_function" else None
        if written is None:
            continue
        old, new = node.meta["spec"], specs[written]
        if list(old.shape) != list(new.shape) or old.dtype != new.dtype or new.mem_id != WEIGHTS_ARENA:
            raise RuntimeError(f"{node} can't be written onto {written}: they are no tensors of one kind")
        lie_in(node, new)
        moved[id(old)] = new
        for user in node.users:
            # What a weight was written with is the weight: nothing else may be made in its place.
            place = user.meta.get(IN_PLACE_OF)
            if place is not None and user.args[place] is node and target_of(user) is None:
                user.meta.pop(IN_PLACE_OF)
    output = graph_module.graph.output_node()
    output.meta["spec"] = tuple(moved.get(id(spec), spec) for spec in output.meta["spec"])


def _place_activations(
    alignment: int, specs: Iterable[Any], graph_module: GraphModule, signature: Any, padding: int
) -> list[int]:
    """ExecuTorch's interface of an algorithm: puts what has no place yet into arena 1; returns the bytes of
    all arenas."""
    reserved = getattr(graph_module, "input_mem_buffer_sizes", None) or [0, 0]
    start = reserved[1] if len(reserved) > 1 else 0
    planned = [spec for spec in specs if storage_of(spec)[0].mem_id is None]
    for spec in planned:
        spec.realign(alignment)
    owners = [spec for spec in planned if spec.storage_base is None]
    placement = place([interval_of(spec) for spec in owners])
    offsets = {id(spec): start + at for spec, at in zip(owners, placement.offsets, strict=True)}
    for spec in planned:
        owner, behind = storage_of(spec)
        spec.mem_id, spec.mem_obj_id, spec.mem_offset = 1, 0, offsets[id(owner)] + behind
    return [0, start + placement.height + padding]
