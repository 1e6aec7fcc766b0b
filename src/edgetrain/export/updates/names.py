"""Patterns of names, as rules and `--trainable` have them."""

from __future__ import annotations

from ...models.names import layer_of, matching, own_name

__all__ = ["layer_of", "matching", "own_name"]
