"""What stands where a pickle has a function, a class or an object of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Global:
    """A function or class by its name, `module.name`; it was not looked up."""

    name: str


@dataclass(eq=False)
class StandIn:
    """An object of a class that was not looked up.

    Attributes:
        name: the class, or the function that would have made the object.
        args: what that would have been called with.
        state: what the object would have been given then, for most classes its attributes by name.
        elements, entries: what would have been appended to it, and set in it by keys.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    elements: list[Any] = field(default_factory=list)
    entries: list[tuple[Any, Any]] = field(default_factory=list)

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Its attributes by name; empty where its state isn't that."""
        state = self.state
        # Classes with slots have a pair of two such dictionaries.
        if isinstance(state, tuple) and len(state) == 2 and all(isinstance(s, dict | None) for s in state):
            state = {**(state[0] or {}), **(state[1] or {})}
        return state if isinstance(state, dict) and all(isinstance(key, str) for key in state) else {}

    @property
    def named(self) -> Mapping[str, Any]:
        """What it holds by name: its attributes, and the entries of a class that is a dictionary, too."""
        entries = {key: value for key, value in self.entries if isinstance(key, str)}
        return {**self.attributes, **entries}

    @property
    def is_module(self) -> bool:
        """Whether it was an `nn.Module`, by its attributes."""
        return {"_parameters", "_buffers", "_modules"} <= self.attributes.keys()


def stand_ins_in(value: Any) -> Iterator[Global | StandIn]:
    """Everything in a value that is no plain data, at any depth, each once."""
    return (found for found in everything_in(value) if isinstance(found, Global | StandIn))


def everything_in(value: Any) -> Iterator[Any]:
    """A value and all that it holds, at any depth; containers and stand-ins once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        yield current
        children = list(children_of(current))
        if children:
            seen.add(id(current))
        waiting += reversed(children)


def children_of(value: Any) -> Iterator[Any]:
    """What a container or a stand-in holds."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield item
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    elif isinstance(value, StandIn):
        yield from (*value.args, value.state, *value.elements)
        for pair in value.entries:
            yield from pair
