"""One interface to a training program, several ways to run it."""

from .base import Session
from .sessions import open_session

__all__ = ["Session", "open_session"]
