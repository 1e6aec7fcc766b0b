"""How much of a backbone its backend has taken over."""

from __future__ import annotations

from ...artifacts.contract import BACKBONE
from ..delegation import delegation_of
from ..pipeline import Lowered


def describe_delegation(lowered: Lowered) -> str:
    """One sentence about a program that has a backbone."""
    found = delegation_of(lowered, BACKBONE)
    parts = f"{found.parts} part{'' if found.parts == 1 else 's'}"
    rest = f"; it leaves {', '.join(found.names)} to ordinary kernels" if found.names else ""
    return f"XNNPACK runs {found.taken} of the backbone's operators, in {parts}{rest}"
