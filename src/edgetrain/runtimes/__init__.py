"""One interface to a training program, several ways to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .base import Session
    from .sessions import open_session

__all__ = ["Session", "open_session"]


def __getattr__(name: str) -> Any:
    """Both load PyTorch, which who only starts a child process doesn't need."""
    if name == "Session":
        from .base import Session

        return Session
    if name == "open_session":
        from .sessions import open_session

        return open_session
    raise AttributeError(f"module {__name__} has no attribute {name}")
