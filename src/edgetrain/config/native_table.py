"""The runner's settings, written from the models: `python -m edgetrain.config.native_table`.

The native runner reads the same settings as `edgetrain finetune`, from a job or from flags. It knows them by
this table alone: section, key, flag, kind, bounds, default, choices, and whether a resumed run may change
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from .base import Section
from .data import DataConfig
from .optimizer import OptimizerConfig, ScheduleConfig
from .options import Flag, alternatives, section_flags
from .stages import SHOWN_ONLY, FinetuneConfig

TABLE = Path(__file__).parents[3] / "native" / "core" / "settings_table.inc"

# What only Python has a choice of.
_PYTHON_ONLY = {"finetune.runtime", "finetune.kernels", *(f"finetune.{key}" for key in SHOWN_ONLY)}
# Of the data, the runner chooses only what is done to images on the way.
_SECTIONS: dict[str, tuple[type[Section], set[str] | None]] = {
    "finetune": (FinetuneConfig, None),
    "optimizer": (OptimizerConfig, None),
    "schedule": (ScheduleConfig, None),
    "augmentation": (DataConfig, {"flip", "crop_padding"}),
}
_HEAD = """\
// Written by `python -m edgetrain.config.native_table` from the models of src/edgetrain/config; don't edit.
// SETTING(section, key, flag, kind, has_least, least, least_open, has_most, most, most_open, default,
//         choices, may_change, help)
"""


def make_table() -> str:
    """The table's text."""
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for section, (model, chosen) in _SECTIONS.items():
        for flag in section_flags("finetune", section, model):
            key = flag.path[1]
            if f"{section}.{key}" not in _PYTHON_ONLY and (chosen is None or key in chosen):
                yield _row(section, key, flag, model.model_fields[key])


def _row(section: str, key: str, flag: Flag, field: FieldInfo) -> str:
    kind = _kind(field.annotation)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    least, most = _bound(field, ("ge", "gt")), _bound(field, ("le", "lt"))
    parts = [
        _quoted(section),
        _quoted(key),
        _quoted(flag.names[0].removeprefix("--")),
        kind,
        *least,
        *most,
        _quoted(_default(section, field)),
        _quoted("|".join(map(str, flag.choices))),
        str(int(bool(extra.get("may_change")))),
        _quoted(_help(section, field)),
    ]
    return f"SETTING({', '.join(parts)})\n"


def _kind(annotation: Any) -> str:
    """The kind by which the runner reads a value."""
    for member in alternatives(annotation):
        if member is bool:
            return "kSwitch"
        if member is int:
            return "kWhole"
        if member is float:
            return "kReal"
        if get_origin(member) is dict and get_args(member) == (str, float):
            return "kRates"
    return "kText"


def _bound(field: FieldInfo, names: Iterable[str]) -> tuple[str, str, str]:
    """Whether there is a bound, which, and whether it is left out itself."""
    for name in names:
        for constraint in field.metadata:
            value = getattr(constraint, name, None)
            if value is not None:
                return "1", repr(value), str(int(name in ("gt", "lt")))
    return "0", "0", "0"


def _default(section: str, field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if section == "augmentation":
        # None is what is usual for a data set; a device has none.
        value = {"kSwitch": False, "kWhole": 0}[_kind(field.annotation)]
    if value is None or value == {}:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _help(section: str, field: FieldInfo) -> str:
    text = field.description or ""
    # A device has no data set that something is usual for.
    return text.partition("; default:")[0] if section == "augmentation" else text


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)


if __name__ == "__main__":
    TABLE.write_text(make_table())
