"""Weights into a model that may know them by other names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from ..errors import InputError, UsageError
from ..models.transformers_models import PREFIX, fill_transformers
from .suggestions import suggest_models
from .weights import Weights, is_averaged, listed

# torch.compile puts this in front of every name, also inside.
_COMPILED = "_orig_mod."
# Counters that evaluation never reads.
_OPTIONAL = ("num_batches_tracked", "n_averaged")
# What modules keep by `get_extra_state`, which may be anything and computes nothing.
_EXTRA_STATE = "_extra_state"


def load_weights(
    model: nn.Module, weights: Weights, origin: str, name: str, *, allow_extra: bool = False
) -> list[str]:
    """Puts weights into a model: without what training wrappers put in front of their names, under the name
    of the part of the model that they are of, and under all names of a tensor that has several.

    Args:
        allow_extra: weights that the model has no place for are left out.
    Returns:
        what was left out or found out, for people.
    Raises:
        InputError: names or shapes don't fit.
        UsageError: several models in the file fit.
    """
    if name.startswith(PREFIX):
        return _load_transformers(model, weights, origin, name, allow_extra=allow_extra)
    complete = model.state_dict()
    wanted = {key: tensor for key, tensor in complete.items() if isinstance(tensor, Tensor)}
    state = {key.replace(_COMPILED, ""): tensor for key, tensor in weights.state.items()}
    prefix, notes = _chosen_prefix(state, wanted, weights.entry, origin)
    chosen = {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}
    part = _part_of(wanted, chosen)
    if part:
        chosen = {part + key: tensor for key, tensor in chosen.items()}
        notes.append(f"its weights are those of {part.rstrip('.')} in {name}")
    chosen |= _shared(wanted, chosen)
    extra = _fill(model, wanted, chosen, origin, name, allow_extra=allow_extra)
    left = [*(key for key in state if not key.startswith(prefix)), *extra]
    if len(wanted) < len(complete):
        left += [key for key in complete if key not in wanted]
    return [*notes, f"left out {listed(left)}, which are no weights of {name}"] if left else notes


def _fill(
    model: nn.Module,
    wanted: Mapping[str, Tensor],
    chosen: dict[str, Tensor],
    origin: str,
    name: str,
    *,
    allow_extra: bool,
) -> list[str]:
    """Puts in what fits; returns the names that had no place."""
    missing = [key for key in wanted if key not in chosen and not key.endswith(_OPTIONAL)]
    unexpected = [key for key in chosen if key not in wanted and not key.endswith(_OPTIONAL)]
    shapes = [
        f"{key} is {list(chosen[key].shape)}, the model's is {list(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in chosen and chosen[key].shape != tensor.shape
    ]
    if missing or unexpected:
        # The model's own hooks may know other names, as those of weight norm do that were usual before
        # parametrizations.
        without_place = _load_by_hooks(model, chosen)
        if without_place is not None and (allow_extra or not without_place):
            return without_place
    _check_fit(missing, unexpected, shapes, origin, name, chosen)
    model.load_state_dict({key: t for key, t in chosen.items() if key in wanted}, strict=False)
    return []


def _load_transformers(
    model: nn.Module, weights: Weights, origin: str, name: str, *, allow_extra: bool
) -> list[str]:
    missing, unexpected, shapes = fill_transformers(model, weights.state)
    _check_fit(
        missing,
        [] if allow_extra else unexpected,
        [f"{key} is of another shape" for key in shapes],
        origin,
        name,
    )
    return [f"left out {listed(unexpected)}, which are no weights of {name}"] if unexpected else []


def _check_fit(
    missing: list[str],
    unexpected: list[str],
    shapes: list[str],
    origin: str,
    name: str,
    state: Mapping[str, Tensor] | None = None,
) -> None:
    problems = [
        *([f"missing {listed(missing)}"] if missing else []),
        *([f"unexpected {listed(unexpected)}"] if unexpected else []),
        *([listed(shapes, "; ")] if shapes else []),
    ]
    if problems:
        way_out = "choose another --model, or its arguments with --model-arg"
        near = suggest_models(state) if state and (missing or shapes) else []
        if near:
            way_out += f"; by names and shapes it could be {near[0]}"
        if not missing and not shapes:
            way_out = f"leave them out with --allow-extra, or {way_out}"
        if all("lora_" in key for key in unexpected) and unexpected:
            way_out = "it is an adapter (LoRA): merge it into its model first, with peft's merge_and_unload()"
        raise InputError(f"{origin} does not fit {name}: {'; '.join(problems)}; {way_out}")


def _load_by_hooks(model: nn.Module, state: dict[str, Tensor]) -> list[str] | None:
    """Lets the model take what it knows; returns what it had no place for, or None where something is missing
    or of another shape."""
    try:
        found = model.load_state_dict(state, strict=False)
    except RuntimeError:  # shapes
        return None
    if [key for key in found.missing_keys if not key.endswith((*_OPTIONAL, _EXTRA_STATE))]:
        return None
    return [key for key in found.unexpected_keys if not key.endswith(_OPTIONAL)]


def _chosen_prefix(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], entry: str, origin: str
) -> tuple[str, list[str]]:
    """What stands in front of the model's own names, and a note where averages were passed over.

    Raises:
        UsageError: several fit equally well, as where a student lies beside its teacher.
    """
    matching = _prefixes(state, wanted)
    fitting: Counter[str] = Counter()
    for prefix in matching:
        fitting[prefix] = sum(
            tensor.shape == state[prefix + key].shape
            for key, tensor in wanted.items()
            if prefix + key in state
        )
    if not matching:
        return _wrapper(state, wanted), []
    best = max((matching[p], fitting[p]) for p in matching)
    equal = [prefix for prefix in matching if (matching[prefix], fitting[prefix]) == best]
    plain = [prefix for prefix in equal if not is_averaged(prefix.rstrip("."))] or equal
    if len(plain) > 1:
        names = [_entry(entry, prefix) for prefix in plain]
        raise UsageError(
            f"{origin} has weights that fit at {listed(n or 'its top' for n in names)}; choose with "
            f"--weights-key {next(n for n in names if n)}"
        )
    averaged = [prefix for prefix in equal if prefix not in plain]
    notes = [
        f"it also has averaged weights: --weights-key {_entry(entry, prefix)}" for prefix in averaged[:1]
    ]
    return plain[0], notes


def _wrapper(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What all names begin with, where the model has the rest of them in a part of it."""
    prefix, names = "", list(state)
    while names and len({name.partition(".")[0] for name in names}) == 1:
        if any(key.endswith(f".{names[0]}") for key in wanted):
            return prefix
        first = names[0].partition(".")[0] + "."
        prefix, names = prefix + first, [name.removeprefix(first) for name in names if name != first[:-1]]
    return prefix if names and any(key.endswith(f".{names[0]}") for key in wanted) else ""


def _entry(entry: str, prefix: str) -> str:
    return ".".join(part for part in (entry, prefix.rstrip(".")) if part)


def name_prefix(state: Iterable[str], wanted: Iterable[str]) -> str:
    """What most names have in front of the model's own, as in `module.` or `model.`."""
    best = _prefixes(state, wanted).most_common(1)
    return best[0][0] if best else ""


def _prefixes(state: Iterable[str], wanted: Iterable[str]) -> Counter[str]:
    """How many of the model's names are found behind a prefix."""
    prefixes: Counter[str] = Counter()
    known = set(wanted)
    for key in state:
        parts = key.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in known:
                prefixes["".join(part + "." for part in parts[:cut])] += 1
    return prefixes


def _part_of(wanted: Mapping[str, Tensor], chosen: Mapping[str, Tensor]) -> str:
    """The prefix of the model's names that is missing in the file's, where it is missing in all of them and
    the part of the model behind it is all that has weights; "" where none is."""
    if any(key in wanted for key in chosen):
        return ""
    prefix = name_prefix(wanted, chosen)
    return prefix if all(key.startswith(prefix) for key in wanted) else ""


def _shared(wanted: Mapping[str, Tensor], chosen: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that the model has under several names, of which a file may hold one: by their other names."""
    names: dict[tuple[int, tuple[int, ...], tuple[int, ...]], str] = {}
    for key in chosen:
        if key in wanted:
            names[_place(wanted[key])] = key
    missing = {key: names.get(_place(tensor)) for key, tensor in wanted.items() if key not in chosen}
    return {key: chosen[name] for key, name in missing.items() if name is not None and wanted[key].numel()}


def _place(tensor: Tensor) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return tensor.data_ptr(), tuple(tensor.shape), tuple(tensor.stride())
