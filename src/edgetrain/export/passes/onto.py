"""Results that are written onto a weight or an optimizer's state."""

from __future__ import annotations

from torch.fx import Node

# Of a node: the name of the placeholder whose memory its result takes, as its new contents. Every reader of
# the old ones has to come before it.
ONTO = "edgetrain.onto"


def target_of(node: Node) -> str | None:
    """The placeholder a node writes onto; None for all others."""
    name = node.meta.get(ONTO)
    return None if name is None else str(name)
