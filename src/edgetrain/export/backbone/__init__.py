"""Cutting what no trained parameter takes part in off a program's graphs, as a method of its own."""

from __future__ import annotations

from .frontier import Frontier, find_frontier
from .head import EagerHead
from .parts import backbone_of, head_of

__all__ = ["EagerHead", "Frontier", "backbone_of", "find_frontier", "head_of"]
