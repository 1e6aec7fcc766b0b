"""Rules of the user's own, from Python or YAML: what is matched, and what takes its place."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ...config.strict_yaml import read_yaml
from ...config.wording import did_you_mean
from ...errors import UsageError
from ...factories import current_folder_importable, import_factory, is_factory
from ...models.transforms.layers import LAYERS, describe_layer
from ...models.transforms.traced_forward import name_of
from .calls import function_name
from .changes import Place
from .rules import PRESETS, RULES, Rule, rule_of

_KEYS = ("match", "replace", "args", "subclasses")


def chosen_rules(wanted: Any) -> list[Rule]:
    """Rules as the user writes them.

    Args:
        wanted: names of presets and rules, mappings with a rule of one's own, or the path of a YAML file with
            such a list under `rules`; one of these, or several.
    Returns:
        those with names, each once and in the order of `RULES`, where the first of them was; those of one's
        own where they were.
    Raises:
        UsageError: one is none of these, or names something unknown.
    """
    items = wanted if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]
    rules = [rule for item in items for rule in _rules(item)]
    if not rules:
        raise UsageError("surgery needs at least one rule; name a preset, as in lite")
    named = [rule for rule in RULES.values() if rule in rules]
    place = min((i for i, rule in enumerate(rules) if rule in named), default=0)
    rest = [[rule for rule in part if rule not in named] for part in (rules[:place], rules[place:])]
    return [*rest[0], *named, *rest[1]]


def _rules(item: Any) -> list[Rule]:
    if isinstance(item, Rule):
        return [item]
    if isinstance(item, Mapping):
        return [_own_rule(item)]
    if isinstance(item, Path) or (isinstance(item, str) and item.endswith((".yaml", ".yml"))):
        return _read(Path(item))
    if item in PRESETS:
        return [RULES[name] for name in PRESETS[item]]
    if item in RULES:
        return [RULES[item]]
    known = [*PRESETS, *RULES]
    hint = did_you_mean(str(item), known) or f"known are {', '.join(known)}, and .yaml files"
    raise UsageError(f"there is no surgery rule '{item}'; {hint}")


def _read(file: Path) -> list[Rule]:
    values = read_yaml(file, named_by="--surgery-rules")
    items = values.get("rules") if isinstance(values, dict) and set(values) == {"rules"} else values
    if not isinstance(items, list) or not items:
        raise UsageError(f"{file} holds no list of rules; write 'rules:' and below it '- match: ...'")
    try:
        return [rule for item in items for rule in _rules(item)]
    except UsageError as error:
        raise UsageError(f"{file}: {error}") from error


def _own_rule(given: Mapping[str, Any]) -> Rule:
    for key in given:
        if key not in _KEYS:
            raise UsageError(
                f"a surgery rule has no '{key}'; {did_you_mean(key, _KEYS) or 'it has ' + ', '.join(_KEYS)}"
            )
    for key in ("match", "replace"):
        if given.get(key) is None:
            raise UsageError(f"a surgery rule needs '{key}'; this one has {', '.join(given) or 'nothing'}")
    matched = given["match"] if isinstance(given["match"], list | tuple) else [given["match"]]
    matched = [_found(each) if isinstance(each, str) else each for each in matched]
    arguments = given.get("args") or {}
    if not isinstance(arguments, Mapping):
        raise UsageError("the args of a surgery rule are names and values, as in {negative_slope: 0.1}")
    replacement = _replacement(given["replace"], dict(arguments))
    subclasses = bool(given.get("subclasses", False))

    def replace(place: Place) -> nn.Module | None:
        if not any(_matches(each, place, subclasses) for each in matched):
            return None
        new = replacement(place)
        same = place.module is not None and new is not None and _describes(new) == _describes(place.module)
        return None if same else new

    names = " or ".join(_name(each) for each in matched)
    name = f"{names} → {given['replace'] if isinstance(given['replace'], str) else _name(given['replace'])}"
    return rule_of(name, name, replace, must_match=True)


def _matches(wanted: Any, place: Place, subclasses: bool) -> bool:
    if isinstance(wanted, type):
        found = [m for m in (place.layer, place.module) if m is not None]
        return any(isinstance(m, wanted) if subclasses else type(m) is wanted for m in found)
    if place.module is not None:
        return False
    name = name_of(wanted)
    same = function_name(name)
    return place.function == name or (same is not None and same == function_name(place.function))


def _replacement(given: Any, arguments: dict[str, Any]) -> Callable[[Place], nn.Module | None]:
    """What makes the new layer."""
    if isinstance(given, str):
        if is_factory(given):
            with current_folder_importable():
                given = import_factory(given, "surgery rule")
        else:
            given = _found(given)
    if isinstance(given, type) and issubclass(given, nn.Module):
        if LAYERS.get(given.__name__) is not given:
            raise UsageError(
                f"a checkpoint can't keep a {given.__name__} in place of a layer; it can keep "
                f"{', '.join(LAYERS)}"
            )
        return lambda place: _built(given, arguments, place)
    if not callable(given):
        raise UsageError(
            f"a surgery rule's replace is a layer's type or package.module:function, not {given!r}"
        )
    return lambda place: _made(given, arguments, place)


def _built(kind: type[nn.Module], arguments: dict[str, Any], place: Place) -> nn.Module:
    """A layer of a type, in place where the old one was, with those of its weights that fit."""
    if "inplace" in inspect.signature(kind).parameters and getattr(place.layer, "inplace", False):
        arguments = {"inplace": True, **arguments}
    try:
        new = kind(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{kind.__name__} can't be built with {arguments} in a surgery rule ({error}); give its "
            "arguments as args, or a function that is given the old layer"
        ) from error
    old = place.layer.state_dict() if place.layer is not None else {}
    fitting = {
        name: old[name] for name, t in new.state_dict().items() if name in old and old[name].shape == t.shape
    }
    new.load_state_dict(fitting, strict=False)
    return new


def _made(function: Callable[..., Any], arguments: dict[str, Any], place: Place) -> nn.Module | None:
    """What the user's function makes of the old layer."""
    old = place.module if place.module is not None else place.layer
    if old is None:
        raise UsageError(
            f"no layer stands for {place.function}(), so that no function can be given one; name a layer's "
            "type to replace it by"
        )
    try:
        new = function(old, **arguments)
    except Exception as error:  # somebody's own code
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UsageError(
            f"the surgery rule's {_name(function)} failed on {place.path or 'the model'} "
            f"({type(error).__name__}: {reason})"
        ) from error
    if new is not None and not isinstance(new, nn.Module):
        raise UsageError(f"{_name(function)} returned a {type(new).__name__}, and not a layer or None")
    return new


def _describes(module: nn.Module) -> Any:
    try:
        return describe_layer(module)
    except ValueError:
        return module


def _found(name: str) -> Any:
    """What a dotted name stands for: a layer's type, a function or a method."""
    if is_factory(name):
        with current_folder_importable():
            return import_factory(name, "surgery rule")
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            with current_folder_importable():
                found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        if callable(found):
            return found
        break
    hint = did_you_mean(name, [f"torch.nn.{known}" for known in LAYERS])
    raise UsageError(
        f"there is no layer or function '{name}'; {hint or 'write its full name, as in torch.nn.SiLU'}"
    )


def _name(thing: Any) -> str:
    return getattr(thing, "__name__", type(thing).__name__)
