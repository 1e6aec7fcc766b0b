"""Comparing two resolved configurations, key by key."""

from __future__ import annotations

from typing import Any

from .base import Section


def differences(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    """Keys (dotted) whose values differ, each with `old → new` for a message."""
    before, after = _flatten(old), _flatten(new)
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    return {key: f"{_show(before, key)} → {_show(after, key)}" for key in changed}


def _flatten(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _show(values: dict[str, Any], key: str) -> str:
    return str(values[key]) if key in values else "not set"


def free_keys(command: type[Section]) -> set[str]:
    """Keys (dotted) of a command's configuration that may differ in a run that is resumed."""
    return {
        f"{section}.{name}"
        for section, model in command.model_fields.items()
        if isinstance(model.annotation, type) and issubclass(model.annotation, Section)
        for name, field in model.annotation.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("may_change")
    }
