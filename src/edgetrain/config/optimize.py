"""Making a model smaller and faster before it leaves the server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from .base import Section, setting

_PATTERN = re.compile(r"([1-9]\d{0,5}):([1-9]\d{0,5})")


class OptimizeConfig(Section):
    """Surgery, pruning and quantization, in this order; each can be left out."""

    surgery: Literal["none", "lite", "no-retrain", "trainable", "rules"] = setting(
        "none",
        "layers in place of others; lite: what embedded devices compute well; no-retrain: only what keeps "
        "the function; trainable: what trains well on a device; rules: surgery_rules alone",
    )
    surgery_rules: Path | None = setting(None, "YAML file of rules of your own, which win over the preset's")
    surgery_options: list[Literal["layer-norm", "large-kernels", "focus"]] = setting(
        [],
        "further rules; layer-norm: batch norm in its place; large-kernels: convolutions above 7x7 cut down "
        "to it; focus: a strided convolution in place of pixels moved to channels",
    )
    surgery_epochs: int = setting(0, "epochs of training after surgery", ge=0)
    prune: str = setting(
        "none",
        "channel: whole channels, so that the network shrinks; unstructured: single weights; a pattern such "
        "as 2:4 or 41:64: so many of so many weights in a row; none",
    )
    prune_ratio: float | None = setting(
        None, "share of the channels, or of the single weights, that go; N:M says it itself", gt=0, lt=1
    )
    prune_scope: Literal["layer", "global"] | None = setting(
        None,
        "layer: the same share of each; global: the least important of all; default: layer for channels, "
        "global for weights",
    )
    prune_importance: Literal["magnitude", "l1", "taylor"] = setting(
        "magnitude",
        "what is worth keeping; magnitude: by squares, l1: by absolute values, taylor: by what the loss of "
        "training samples does without it",
    )
    prune_skip: list[str] = setting([], "patterns of layers that stay whole, as in 'features.0'")
    prune_round: int = setting(1, "the channels that remain of a layer are a multiple of this", ge=1)
    prune_schedule: Literal["once", "gradual", "blend"] = setting(
        "once",
        "once: prune, then train; gradual: more and more weights while training; blend: what goes fades "
        "out while training",
    )
    prune_epochs: int = setting(0, "epochs of training while or after pruning", ge=0)
    quantize: Literal["none", "int8", "qat", "dynamic-int8", "int4"] = setting(
        "none",
        "int8: with ranges from calibration samples; qat: after training with the rounding; dynamic-int8: "
        "with ranges found at run time; int4: as int8, and weights of linear layers in 4 bits",
    )
    quantize_skip: list[str] = setting([], "patterns of layers that stay float32, as in 'classifier.*'")
    qat_epochs: int = setting(2, "epochs of training with the rounding", ge=1)
    calibration: Path | None = setting(
        None,
        "samples that tell the ranges: a file of 'edgetrain pack', or a .npz or .safetensors; default: the "
        "first of the training split",
    )
    calibration_samples: int = setting(256, "how many of them", ge=1, le=100_000)

    @field_validator("prune")
    @classmethod
    def _known_prune(cls, value: str) -> str:
        if value in ("none", "channel", "unstructured"):
            return value
        found = _PATTERN.fullmatch(value)
        if found is None or int(found[1]) >= int(found[2]):
            raise ValueError(
                f"must be none, channel, unstructured, or N:M with N less than M, as in 2:4 (got {value!r})"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> OptimizeConfig:
        if self.surgery == "rules" and self.surgery_rules is None:
            raise ValueError("surgery rules needs surgery_rules, a YAML file of them")
        if self.surgery == "none" and self.surgery_rules is not None:
            raise ValueError("surgery_rules needs a surgery; rules applies them alone")
        if self.surgery == "none" and self.surgery_options:
            raise ValueError("surgery_options needs a surgery; lite is what they add to")
        by_share = self.prune in ("channel", "unstructured")
        if by_share and self.prune_ratio is None:
            raise ValueError(f"prune {self.prune} needs prune_ratio, as in 0.3")
        if self.prune_ratio is not None and not by_share:
            raise ValueError(f"prune {self.prune} takes no prune_ratio")
        if self.prune_schedule != "once" and not self.prune_epochs:
            raise ValueError(f"prune_schedule {self.prune_schedule} needs prune_epochs of 1 and more")
        return self
