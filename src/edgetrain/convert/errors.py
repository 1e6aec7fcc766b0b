"""Errors of `convert` that come back from its child process; raising one loads no PyTorch there."""

from __future__ import annotations

from ..errors import InputError


class NoWeightsError(InputError):
    """A file that holds none, or none that can be seen without running code of it."""
