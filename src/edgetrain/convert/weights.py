"""Weights inside checkpoints: where they are, what stands in front of their names, whether they fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, UsageError

# Under these names training programs keep weights, the likeliest first.
_USUAL = ("state_dict", "model_state_dict", "model", "module", "net", "network", "weights", "params")
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "ema_model", "averaged_model")
_NEVER = ("optimizer", "lr_scheduler", "scheduler", "scaler", "rng", "random")
# torch.compile puts this in front of every name, also inside.
_COMPILED = "_orig_mod."
# Counters that evaluation never reads.
_OPTIONAL = ("num_batches_tracked", "n_averaged")
_SHOWN = 3


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
        entry: where it is, as in `state_dict_ema` or `ema.model`; None to search.
    Raises:
        InputError: there is none.
        UsageError: there are several, or none at `entry`.
    """
    if isinstance(payload, Mapping) and any(str(name).endswith("_packed_params") for name in payload):
        raise InputError(
            f"{origin} holds quantized layers; convert the float weights it was made from, with "
            "--precision int8 to quantize them again"
        )
    found = dict(_states(payload))
    if not found:
        kind = type(payload).__name__
        raise InputError(
            f"{origin} holds no weights: neither a state_dict nor a checkpoint with one ({kind})"
        )
    if entry is not None:
        if entry not in found:
            raise UsageError(f"{origin} has no weights at '{entry}'; it has some at {_listed(found)}")
        return Weights(_plain(found[entry], origin), entry)
    chosen = next((name for name in ("", *_USUAL) if name in found), None)
    if chosen is None:
        candidates = [name for name in found if not _is_averaged(name)] or list(found)
        if len(candidates) > 1:
            raise UsageError(
                f"{origin} has weights at {_listed(candidates)}; choose with --weights-key {candidates[0]}"
            )
        chosen = candidates[0]
    averaged = [name for name in found if _is_averaged(name) and name != chosen]
    notes = [f"it also has averaged weights: --weights-key {name}" for name in averaged[:1]]
    return Weights(_plain(found[chosen], origin), chosen, notes)


def load_weights(model: nn.Module, weights: Weights, origin: str, name: str) -> list[str]:
    """Puts weights into a model, without what training wrappers put in front of their names.

    Returns:
        what was left out, for people.
    Raises:
        InputError: names or shapes don't fit.
    """
    wanted = model.state_dict()
    state = {key.replace(_COMPILED, ""): tensor for key, tensor in weights.state.items()}
    prefix = name_prefix(state, wanted)
    chosen = {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}
    missing = [key for key in wanted if key not in chosen and not key.endswith(_OPTIONAL)]
    unexpected = [key for key in chosen if key not in wanted and not key.endswith(_OPTIONAL)]
    shapes = [
        f"{key} is {list(chosen[key].shape)}, the model's is {list(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in chosen and chosen[key].shape != tensor.shape
    ]
    problems = [
        *([f"missing {_listed(missing)}"] if missing else []),
        *([f"unexpected {_listed(unexpected)}"] if unexpected else []),
        *([_listed(shapes, "; ")] if shapes else []),
    ]
    if (missing or unexpected) and _takes(model, chosen):
        return []
    if problems:
        raise InputError(
            f"{origin} does not fit {name}: {'; '.join(problems)}; choose another --model, or its arguments "
            "with --model-arg"
        )
    model.load_state_dict({key: t for key, t in chosen.items() if key in wanted}, strict=False)
    left = [key for key in state if not key.startswith(prefix)]
    return [f"left out {_listed(left)}, which are no part of {name}"] if left else []


def _takes(model: nn.Module, state: dict[str, Tensor]) -> bool:
    """Puts weights into a model whose own hooks know other names of its tensors, as those of weight norm do
    that were usual before parametrizations; returns whether all have found their place."""
    try:
        found = model.load_state_dict(state, strict=False)
    except RuntimeError:  # shapes
        return False
    return not [key for key in (*found.missing_keys, *found.unexpected_keys) if not key.endswith(_OPTIONAL)]


def _states(payload: Any, entry: str = "", depth: int = 3) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """All mappings from names to tensors, by their dotted path."""
    if isinstance(payload, nn.Module):
        payload = payload.state_dict()
    if not isinstance(payload, Mapping) or not all(isinstance(key, str) for key in payload):
        return
    tensors = [key for key, value in payload.items() if isinstance(value, Tensor)]
    nested = [key for key, value in payload.items() if isinstance(value, (Mapping, nn.Module))]
    if tensors and not nested:
        yield entry, payload
        return
    for key in nested if depth else ():
        if not key.lower().startswith(_NEVER):
            yield from _states(payload[key], f"{entry}.{key}" if entry else key, depth - 1)


def _plain(state: Mapping[str, Any], origin: str) -> dict[str, Tensor]:
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for name, tensor in tensors.items():
        if tensor.is_quantized or tensor.layout is not torch.strided:
            raise InputError(
                f"{origin}: {name} is quantized or sparse; convert the float weights it was made from"
            )
        stored = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > stored:
            raise InputError(f"{origin}: {name} is larger than what is stored of it; it is refused")
    return tensors


def name_prefix(state: Iterable[str], wanted: Iterable[str]) -> str:
    """What most names have in front of the model's own, as in `module.` or `model.`."""
    names = list(wanted)
    prefixes: Counter[str] = Counter()
    known = set(names)
    for key in state:
        parts = key.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in known:
                prefixes["".join(part + "." for part in parts[:cut])] += 1
    best = prefixes.most_common(1)
    return best[0][0] if best else ""


def _is_averaged(entry: str) -> bool:
    return any(part in _AVERAGED for part in entry.split("."))


def _listed(names: Iterable[str], separator: str = ", ") -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more
