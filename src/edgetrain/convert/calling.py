"""How a source is called, where passing it one tensor after the other and getting a tensor isn't all."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..tasks.outputs import OUTPUT


@dataclass(frozen=True)
class Manner:
    """What is passed beside the tensors, and what is kept of what comes back.

    Attributes:
        names: of the inputs, where they are passed by name; empty where by position.
        values: arguments that are no inputs, by name.
        output: the only output that is kept; None for all.
        batched: whether the model's own inputs have a batch dimension. Where not, batches of one are passed
            without it, and what is returned gets one.
    """

    names: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    output: str | None = None
    batched: bool = True


class Called(nn.Module):
    """A model as a function of tensors alone: [B, ...] each → tensors by name.

    Attributes:
        fixed: whether it is captured for the very shapes of an example, no dimension of which is a batch.
    """

    def __init__(self, model: Any, manner: Manner, *, fixed: bool = False) -> None:
        super().__init__()
        self.model = model
        self.manner = manner
        self.fixed = fixed
        self._takes_mapping = bool(manner.names) and takes_mapping(model)

    @property
    def changes_arguments(self) -> bool:
        """Whether somebody who has the model's code alone would call it in another way."""
        manner = self.manner
        in_tuples = any("." in name for name in manner.names)
        return bool(manner.values or manner.output or self._takes_mapping or in_tuples) or not manner.batched

    def forward(self, *tensors: Tensor) -> dict[str, Tensor]:
        """The outputs that are kept.

        Raises:
            UsageError: none has the name that is wanted.
        """
        manner = self.manner
        if not manner.batched:
            tensors = tuple(tensor[0] for tensor in tensors)
        named = _arguments(dict(zip(manner.names, tensors, strict=True))) if manner.names else {}
        if self._takes_mapping:
            returned = self.model(named, **manner.values)
        else:
            returned = self.model(*(() if named else tensors), **named, **manner.values)
        found = flat_outputs(returned)
        if manner.output is not None:
            if manner.output not in found:
                raise UsageError(
                    f"the model returns {', '.join(found)}, and no {manner.output}; choose another"
                )
            found = {manner.output: found[manner.output]}
        return found if manner.batched else {name: tensor[None] for name, tensor in found.items()}


def _arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Tensors by name; those that are named `state.0`, `state.1` are one argument, a tuple."""
    found: dict[str, Any] = {}
    for name in sorted(tensors):
        whole, _, place = name.partition(".")
        found[whole] = (*found.get(whole, ()), tensors[name]) if place else tensors[name]
    return found


def flat_outputs(returned: Any) -> dict[str, Tensor]:
    """All tensors that a model returned, however nested, by name: of dictionaries, named tuples and
    dataclasses their own, of other tuples `output`, `output1`, ...; inside of each other dots are between."""
    return dict(_flat(returned, ""))


def _flat(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name or OUTPUT, value
    elif isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        kept = [item for item in value if item is not None]
        for index, item in enumerate(kept):
            yield from _flat(item, f"{name}.{index}" if name else f"{OUTPUT}{index or ''}")
    else:
        for key, item in _entries(value).items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))


def _entries(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value):
        return {entry.name: getattr(value, entry.name) for entry in dataclasses.fields(value)}
    fields: Sequence[str] = getattr(value, "_fields", ())
    return {key: getattr(value, key) for key in fields}


def is_plain(returned: Any) -> bool:
    """Whether every library knows how to take apart what a model returned: tensors, tuples, lists, dicts."""
    if type(returned) in (tuple, list):
        return all(is_plain(item) for item in returned)
    if type(returned) is dict:
        return all(is_plain(item) for item in returned.values())
    return isinstance(returned, Tensor) or returned is None


def takes_mapping(model: Any) -> bool:
    """Whether a model's first argument is a dictionary, as far as its code says so."""
    if isinstance(model, torch.jit.ScriptModule):
        method: Any = model.forward
        taken = [argument.type for argument in method.schema.arguments[1:]]
        return bool(taken) and taken[0].kind() == "DictType"
    parameters = [
        parameter
        for parameter in inspect.signature(getattr(model, "forward", model)).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    said = str(parameters[0].annotation).lower() if parameters else ""
    return "dict[" in said or "mapping[" in said or said in ("dict", "<class 'dict'>")
