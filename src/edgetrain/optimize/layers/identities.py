"""Layers that do nothing → left out of the `Sequential` they are in."""

from __future__ import annotations

from torch import nn

from ...artifacts.transforms import RemovedLayer
from .changes import Changes, Replacement
from .used_parts import in_untraced, used_parts


def leave_out(changes: Changes) -> None:
    """Leaves out identities, where nobody picks layers of the `Sequential` by their place in it."""
    picked = {path.rpartition(".")[0] for path in used_parts(changes)}
    for path, module in list(changes.modules()):
        parent_path = path.rpartition(".")[0]
        parent = changes.module(parent_path)
        if type(module) is not nn.Identity or not path or changes.module(path) is not module:
            continue
        if parent is None or type(parent).forward is not nn.Sequential.forward:
            continue
        if parent_path not in picked and not in_untraced(changes, path):
            changes.record(RemovedLayer(module=path))
            changes.replaced.append(Replacement(changes.rule, path, "Identity", "nothing"))
