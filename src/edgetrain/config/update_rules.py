"""Rules files: which parameters of a model are trained, by name; what `export.update: rules:FILE` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from ..errors import ConfigError
from .base import Section, setting
from .strict_yaml import read_yaml
from .wording import dotted, short, worded


class LoraSettings(Section):
    """Low-rank adapters (arXiv 2106.09685)."""

    rank: int = setting(4, "rank of the weight's change", ge=1)
    alpha: float = setting(4.0, "the change is scaled by alpha / rank", gt=0)


class Adapter(Section):
    """A linear layer stays as it is, and a product of two small matrices beside it is trained."""

    lora: LoraSettings = LoraSettings()


def _named_choice(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """One sentence for a value that is none of several kinds."""
    if isinstance(value, dict):
        return Adapter.model_validate(value)
    try:
        return validate(value)
    except ValidationError:
        raise ValueError(
            "must be none, bias, all, a share of the output channels above 0 and up to 1, or lora with its "
            f"settings (got {short(value)})"
        ) from None


Share = Annotated[float, Field(strict=True, gt=0, le=1)]
Trained = Annotated[Literal["none", "bias", "all"] | Share | Adapter, WrapValidator(_named_choice)]


class UpdateRule(Section):
    """Which parameters it is about (one of the three), and what of them is trained."""

    pattern: str | None = setting(
        None, "names of layers or of parameters, as in features.6 or 'classifier.*'", min_length=1
    )
    last_layers: int | None = setting(None, "the last so many layers, in the order they are used", ge=1)
    last_blocks: int | None = setting(None, "the last so many blocks, in the order they are used", ge=1)
    train: Trained = Field(
        description="none; bias: biases only; all; a number: that share of the output channels; lora"
    )

    @model_validator(mode="after")
    def _about_one_thing(self) -> UpdateRule:
        if sum(value is not None for value in (self.pattern, self.last_layers, self.last_blocks)) != 1:
            raise ValueError("needs one of pattern, last_layers and last_blocks")
        return self


class UpdateRules(Section):
    """A rules file. The first rule that fits a parameter counts; one that none fits is frozen."""

    rules: list[UpdateRule] = Field(min_length=1)


def read_update_rules(file: Path) -> list[UpdateRule]:
    """Reads a rules file, YAML or JSON.

    Raises:
        ConfigError: it can't be read, or a rule is wrong; says all that is.
    """
    values = read_yaml(file, named_by="--update")
    try:
        return UpdateRules.model_validate(values).rules
    except ValidationError as error:
        raise ConfigError(
            [_problem(file, dict(detail)) for detail in error.errors(include_url=False)]
        ) from None


def write_update_rules(rules: Sequence[UpdateRule], about: str) -> str:
    """The text of a rules file, in YAML.

    Args:
        about: a comment in its first line.
    """
    values = [rule.model_dump(exclude_none=True) for rule in rules]
    return f"# {about}\n" + yaml.safe_dump({"rules": values}, sort_keys=False)


def _problem(file: Path, detail: Mapping[str, Any]) -> str:
    place, kind = tuple(detail["loc"]), detail["type"]
    what = {"extra_forbidden": "unknown key", "missing": "is missing"}.get(kind) or worded(detail)
    if len(place) > 1:
        rule = f"rule {place[1] + 1}"
        place = place[2:]
    else:
        rule = ""
    where = ": ".join(text for text in (str(file), rule, dotted(place)) if text)
    return f"{where}: {what} [--update]"
