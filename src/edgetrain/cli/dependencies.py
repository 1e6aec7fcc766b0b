"""The packages that edgetrain needs, and with which of their versions it was tested.

Both stand in pyproject.toml alone, the second as the extra `tested`, and come with the installed package.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterable
from dataclasses import dataclass

_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*?)\s*\(?([<>=!~][^;)]*)?\)?\s*(?:;|$)")
_EXTRA = re.compile(r"""extra\s*==\s*["']([\w-]+)["']""")


@dataclass(frozen=True)
class Dependency:
    """One package.

    Attributes:
        versions: what edgetrain requires, as in ">=0.20".
        tested: the newest version that the tests were run with; None where that is not known.
    """

    name: str
    versions: str
    tested: str | None

    @property
    def oldest(self) -> str | None:
        """The oldest version that is allowed, as in "0.20"; of "==2.13.*", "2.13"."""
        found = re.search(r"(?:>=|==|~=)\s*([0-9][0-9.]*?)(?:\.\*)?(?=,|\s|$)", self.versions)
        return found[1] if found else None

    @property
    def range(self) -> str:
        """What was tested, as in "0.20 to 0.29.2"."""
        return f"{self.oldest} to {self.tested}"

    def judge(self, version: str) -> int:
        """-1 where a version is older than is allowed, 1 where it is newer than what was tested, else 0."""
        if self.oldest and _release(version) < _release(self.oldest):
            return -1
        return 1 if self.tested and _release(version) > _release(self.tested) else 0


def dependencies(requirements: Iterable[str] | None = None) -> list[Dependency]:
    """What the installed edgetrain needs, without optional packages; nothing where it is not installed.

    Args:
        requirements: the lines `Requires-Dist` of its metadata; default: those of the installed package.
    """
    if requirements is None:
        try:
            requirements = importlib.metadata.requires("edgetrain") or []
        except importlib.metadata.PackageNotFoundError:
            return []
    needed: dict[str, str] = {}
    tested: dict[str, str] = {}
    for line in requirements:
        match, extra = _REQUIREMENT.match(line), _EXTRA.search(line)
        if match is None:
            continue
        name, versions = match[1], (match[2] or "").replace(" ", "")
        if extra is None:
            needed[name] = versions
        elif extra[1] == "tested":
            tested[name.lower()] = versions.removeprefix("==")
    return [Dependency(name, versions, tested.get(name.lower())) for name, versions in needed.items()]


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version; of "2.13.0+cpu", (2, 13)."""
    match = re.match(r"[0-9.]*", version)
    numbers = [int(part) for part in (match[0] if match else "").split(".") if part]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
