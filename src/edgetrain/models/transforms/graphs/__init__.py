"""Models that are graphs: captured from code that isn't here, kept as plain data, built again from it."""

from .build import build_graph
from .describe import NotPlainError, describe_graph

__all__ = ["NotPlainError", "build_graph", "describe_graph"]
