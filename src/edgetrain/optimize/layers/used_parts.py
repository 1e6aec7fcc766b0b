"""Which layers of a `Sequential` are called by other code than its own."""

from __future__ import annotations

from torch import nn

from ...models.transforms.traced_forward import Untraceable, has_own_forward
from .changes import Changes


def used_parts(changes: Changes) -> set[str]:
    """Paths of layers that some module's forward calls by itself, as in `self.block[0](x)`, though they are
    in a `Sequential`."""
    parts = set()
    for path, module in changes.modules():
        if not has_own_forward(module):
            continue
        graph = changes.trace(module).graph
        for node in graph.nodes if graph is not None else ():
            if node.op == "call_module":
                target = f"{path}.{node.target}".lstrip(".")
                parent = changes.module(target.rpartition(".")[0])
                if isinstance(parent, nn.Sequential):
                    parts.add(target)
    return parts


def in_untraced(changes: Changes, path: str) -> bool:
    """Whether a module lies in one whose forward isn't known, and may be used in any way there."""
    names = path.split(".")
    for end in range(len(names)):
        module = changes.module(".".join(names[:end]))
        if module is not None and has_own_forward(module) and isinstance(changes.trace(module), Untraceable):
            return True
    return False
