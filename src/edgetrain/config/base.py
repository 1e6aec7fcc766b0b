"""What all configuration models have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of the configuration. Unknown keys are errors; defaults are checked as well."""

    # Validators are made when a value is checked first; flags and help need none.
    model_config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)


def setting(
    default: Any,
    description: str,
    *,
    flag: str | None = None,
    may_change: bool = False,
    commas: bool = True,
    **constraints: Any,
) -> Any:
    """A configuration field.

    Args:
        default: value when nothing is given.
        description: what it means, with its unit; shown by `--help`.
        flag: the command-line flag where it differs from the rule (`--field` for a stage's own section,
            `--section-field` for shared ones).
        may_change: a run that is resumed may have another value: how far to go, how often to save.
        commas: on the command line, values of a list may stand behind one flag with commas between; False
            where a value may hold some itself.
        constraints: pydantic's bounds (`ge`, `gt`, `le`, `lt`, `min_length`, ...).
    """
    marks = {"flag": flag, "may_change": may_change or None, "commas": None if commas else False}
    extra: dict[str, Any] = {name: value for name, value in marks.items() if value is not None}
    if isinstance(default, (list, dict)):
        return Field(
            default_factory=lambda: type(default)(default),
            description=description,
            json_schema_extra=extra or None,
            **constraints,
        )
    return Field(default, description=description, json_schema_extra=extra or None, **constraints)
