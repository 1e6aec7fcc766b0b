"""Small graphs in edge dialect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from executorch.exir import EdgeProgramManager, to_edge
from torch import Tensor, nn
from torch.export import Dim, export

from edgetrain.export.passes.onto import ONTO
from edgetrain.upstream.edge import edge_settings

MOST = 16


@pytest.fixture
def edge_dialect() -> Callable[..., EdgeProgramManager]:
    """(module, examples with the batch first, {output: parameter or buffer it is written onto}) → its method
    `forward`, for batches of up to 16."""

    def make(module: nn.Module, *example: Tensor, onto: dict[int, str] | None = None) -> EdgeProgramManager:
        batch = Dim("batch", min=1, max=MOST)
        program = export(module, example, dynamic_shapes=tuple({0: batch} for _ in example), strict=True)
        manager = to_edge({"forward": program}, compile_config=edge_settings())
        edge = manager.exported_program("forward")
        signature = edge.graph_signature
        names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        outputs = edge.graph.output_node().args[0]
        for index, tensor in (onto or {}).items():
            outputs[index].meta[ONTO] = next(node for node, name in names.items() if name == tensor)
        return manager

    return make
