"""Weights inside checkpoints: where they are, and which are meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..artifacts.unpickling import StandIn, arrays_as_tensors, stand_ins_in
from ..errors import InputError, UsageError
from .errors import NoWeightsError

# Under these names training programs keep weights, the likeliest first.
_USUAL = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "ema_model", "averaged_model")
_NEVER = ("optimizer", "lr_scheduler", "scheduler", "scaler", "rng", "random")
# How PyTorch builds tensors that no program takes.
_OTHER_TENSORS = ("torch._utils._rebuild_qtensor", "torch._utils._rebuild_sparse")
_WITHOUT_NUMBERS = "torch._utils._rebuild_meta_tensor"
_SHOWN = 3
# More than any model has; files may say anything.
_MOST_LAYERS = 100_000
_LONGEST_NAME = 1000


@dataclass(frozen=True)
class Weights:
    """A state_dict and the entry of the checkpoint it lay in ("" for the file as a whole)."""

    state: dict[str, Tensor]
    entry: str
    notes: list[str] = field(default_factory=list)


def find_weights(payload: Any, origin: str, entry: str | None = None) -> Weights:
    """Finds the state_dict in what torch.save wrote.

    Args:
        origin: the file, for messages.
        entry: where it is, as in `state_dict_ema` or `ema.model`, also where that is what several names begin
            with (`student`); None to search.
    Raises:
        NoWeightsError: there is none.
        InputError: they are quantized or sparse.
        UsageError: there are several, or none at `entry`.
    """
    if isinstance(payload, Mapping) and any(str(name).endswith("_packed_params") for name in payload):
        raise InputError(
            f"{origin} holds quantized layers; convert the float weights it was made from, with "
            "--precision int8 to quantize them again"
        )
    what, payload = _what(payload), _by_place(payload)
    found = dict(_states(payload)) or dict(_states(arrays_as_tensors(payload)))
    # In lists there may be much else, as the losses of each epoch.
    found = found or dict(_states(payload, lists=True))
    if not found:
        _refuse_without_numbers(stand_ins_in(payload), origin)
        raise NoWeightsError(
            f"{origin} holds no weights: neither a state_dict nor a checkpoint with one ({what})"
        )
    # Numbers by name, as measurements are, are the weights only of a file that has no others.
    found = {name: state for name, state in found.items() if _has_layers(state)} or found
    if entry is not None and entry not in found:
        found |= _begun_with(entry, found)
    chosen = chosen_entry(found, entry, origin)
    averaged = [name for name in found if is_averaged(name) and name != chosen] if entry is None else []
    notes = [f"it also has averaged weights: --weights-key {name}" for name in averaged[:1]]
    return Weights(_plain(found[chosen], origin), chosen, notes)


def chosen_entry(found: Mapping[str, Any], entry: str | None, origin: str) -> str:
    """Which of several entries of a checkpoint is meant: the one that is named, or the likeliest.

    Raises:
        UsageError: there are several that are as likely, or none of that name.
    """
    if entry is not None:
        if entry not in found:
            where = listed(name or "its top" for name in found)
            raise UsageError(f"{origin} has no weights at '{entry}'; it has some at {where}")
        return entry
    chosen = next((name for name in ("", *_USUAL) if name in found), None)
    if chosen is not None:
        return chosen
    candidates = [name for name in found if not is_averaged(name)] or list(found)
    if len(candidates) > 1:
        raise UsageError(
            f"{origin} has weights at {listed(candidates)}; choose with --weights-key {candidates[0]}"
        )
    return candidates[0]


def _has_layers(state: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Tensor) and value.dim() for value in state.values())


def _by_place(payload: Any) -> Any:
    """What lies in a list or tuple, as (weights, epoch) does, by its place. Tensors there have no names."""
    if not isinstance(payload, list | tuple):
        return payload
    return {str(place): item for place, item in enumerate(payload) if not isinstance(item, Tensor)}


def _begun_with(entry: str, found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Weights whose names begin with an entry, as where `student.0.weight` lies beside `teacher.0.weight`."""
    for name, state in found.items():
        start = entry.removeprefix(f"{name}.") + "."
        inside = {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
        if any(isinstance(value, Tensor) for value in inside.values()):
            return {entry: inside}
    return {}


def modules_in(payload: Any, entry: str = "", depth: int = 3) -> Iterable[tuple[str, nn.Module]]:
    """Models in what was unpickled, by their dotted path: also as attributes of objects around them."""
    if isinstance(payload, nn.Module):
        yield entry, payload
        return
    payload = _by_place(payload)
    inside = payload if isinstance(payload, Mapping) else getattr(payload, "__dict__", None)
    if not isinstance(inside, Mapping) or isinstance(payload, type) or not depth:
        return
    for key, value in inside.items():
        if isinstance(key, str) and not key.lower().startswith(_NEVER):
            yield from modules_in(value, f"{entry}.{key}" if entry else key, depth - 1)


def _states(
    payload: Any, entry: str = "", depth: int = 3, seen: set[int] | None = None, *, lists: bool = False
) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """All mappings from names to tensors, by their dotted path; each once.

    Args:
        lists: also those in lists and tuples.
    """
    seen = set() if seen is None else seen
    if id(payload) in seen:
        return
    seen.add(id(payload))
    payload = _by_place(payload) if lists else payload
    if isinstance(payload, nn.Module):
        payload = payload.state_dict()
    elif isinstance(payload, StandIn):
        payload = _state_of(payload) if payload.is_module else payload.named
    if not isinstance(payload, Mapping):
        return
    tensors = [key for key, value in payload.items() if isinstance(value, Tensor)]
    kinds = Mapping | nn.Module | StandIn | list | tuple if lists else Mapping | nn.Module | StandIn
    nested = [key for key, value in payload.items() if isinstance(value, kinds)]
    below = [
        found
        for key in (nested if depth else ())
        if isinstance(key, str) and not key.lower().startswith(_NEVER)
        for found in _states(payload[key], f"{entry}.{key}" if entry else key, depth - 1, seen, lists=lists)
    ]
    # Beside weights in entries of their own, tensors without a layer's name are counters.
    if tensors and all(isinstance(key, str) for key in payload) and (not below or "." in "".join(tensors)):
        yield entry, payload
        return
    yield from below


def _state_of(module: StandIn) -> dict[str, Tensor]:
    """The state_dict of a module that was never built: parameters and persistent buffers of all layers.

    Raises:
        NoWeightsError: layers contain themselves.
    """
    state: dict[str, Tensor] = {}
    waiting = [("", module)]
    for _ in range(_MOST_LAYERS):
        if not waiting:
            return state
        prefix, layer = waiting.pop()
        if len(prefix) > _LONGEST_NAME:
            break
        attributes = layer.attributes
        passing = attributes.get("_non_persistent_buffers_set") or ()
        for kind in ("_parameters", "_buffers"):
            for name, tensor in _entries(attributes[kind]):
                if isinstance(tensor, Tensor) and not (kind == "_buffers" and name in passing):
                    state[f"{prefix}{name}"] = tensor
        inside = [(f"{prefix}{name}.", below) for name, below in _entries(attributes["_modules"])]
        waiting += [(name, x) for name, x in reversed(inside) if isinstance(x, StandIn) and x.is_module]
    raise NoWeightsError("the layers of the model in it contain themselves")


def _entries(value: Any) -> list[tuple[Any, Any]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _what(payload: Any) -> str:
    """What a file holds instead of weights."""
    if isinstance(payload, list | tuple) and payload:
        inside = dict.fromkeys(type(item).__name__ for item in payload)
        return f"a {type(payload).__name__} of {len(payload)}: {', '.join(list(inside)[:_SHOWN])}"
    if isinstance(payload, Mapping) and {"state", "param_groups"} <= payload.keys():
        return "the state of an optimizer"
    return payload.name if isinstance(payload, StandIn) else type(payload).__name__


def _refuse_without_numbers(values: Iterable[Any], origin: str) -> None:
    if any(isinstance(value, StandIn) and value.name.startswith(_WITHOUT_NUMBERS) for value in values):
        raise InputError(
            f"{origin} has tensors of PyTorch's device meta, which are shapes without numbers; save the "
            "model after its weights have been loaded"
        )


def _plain(state: Mapping[str, Any], origin: str) -> dict[str, Tensor]:
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    _refuse_without_numbers(state.values(), origin)
    if any(isinstance(v, StandIn) and v.name.startswith(_OTHER_TENSORS) for v in state.values()):
        raise InputError(
            f"{origin} has quantized or sparse weights; convert the float weights it was made from"
        )
    for name, tensor in tensors.items():
        if tensor.is_quantized or tensor.layout is not torch.strided:
            raise InputError(
                f"{origin}: {name} is quantized or sparse; convert the float weights it was made from"
            )
        stored = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > stored:
            raise InputError(f"{origin}: {name} is larger than what is stored of it; it is refused")
    return tensors


def is_averaged(entry: str) -> bool:
    """Whether an entry's name says that its weights are averages of others."""
    return any(part in _AVERAGED for part in entry.split("."))


def listed(names: Iterable[str], separator: str = ", ") -> str:
    """The first few of many names."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more
