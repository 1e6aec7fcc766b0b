"""How parameters are updated, on the server and on the device."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator, model_validator

from .base import Section, setting

# What each optimizer reads besides learning rates and the largest norm.
_RULES: dict[str, tuple[str, ...]] = {
    "sgd": ("momentum", "dampening", "nesterov", "weight_decay"),
    "adam": ("beta1", "beta2", "eps", "weight_decay"),
    "adamw": ("beta1", "beta2", "eps", "weight_decay"),
}


class OptimizerConfig(Section):
    """An optimizer with torch.optim's meaning of every value."""

    name: Literal["sgd", "adam", "adamw"] = setting("sgd", "optimizer", flag="--optimizer")
    lr: float = setting(0.01, "learning rate (the peak, where a schedule varies it)", gt=0, flag="--lr")
    momentum: float = setting(0.9, "momentum (sgd)", ge=0, lt=1, flag="--momentum")
    dampening: float = setting(0.0, "dampening of the momentum (sgd)", ge=0, le=1, flag="--dampening")
    nesterov: bool = setting(False, "Nesterov momentum (sgd)", flag="--nesterov")
    weight_decay: float = setting(0.0, "weight decay", ge=0, flag="--weight-decay")
    beta1: float = setting(0.9, "decay of the first moment (adam, adamw)", ge=0, lt=1, flag="--beta1")
    beta2: float = setting(0.999, "decay of the second moment (adam, adamw)", ge=0, lt=1, flag="--beta2")
    eps: float = setting(1e-8, "added to the denominator (adam, adamw)", gt=0, flag="--eps")
    groups: dict[str, float] = setting(
        {},
        "learning rates of parameters whose names fit a pattern, as in 'head.*=0.1'; the first that fits "
        "counts, and a schedule scales all alike",
        flag="--group",
    )
    clip_norm: float | None = setting(
        None, "largest norm of all gradients together; default: no limit", gt=0, flag="--clip-norm"
    )

    @property
    def rule(self) -> dict[str, Any]:
        """How a gradient becomes an update: the name, and the settings that this optimizer reads, apart from
        learning rates and the largest norm."""
        return {"name": self.name, **{name: getattr(self, name) for name in _RULES[self.name]}}

    @field_validator("groups")
    @classmethod
    def _rates(cls, value: dict[str, float]) -> dict[str, float]:
        for pattern, lr in value.items():
            if not lr >= 0:
                raise ValueError(f"the learning rate of {pattern} must be at least 0 (got {lr})")
        return value

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> OptimizerConfig:
        if self.name == "sgd" and self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs a momentum greater than 0 and a dampening of 0")
        return self


class ScheduleConfig(Section):
    """The learning rate as a function of the step."""

    name: Literal["constant", "step", "cosine"] = setting(
        "constant", "learning-rate schedule after the warm-up", flag="--schedule"
    )
    warmup_steps: int = setting(
        0, "steps over which the learning rate rises linearly to its peak", ge=0, flag="--warmup-steps"
    )
    step_epochs: int = setting(1, "epochs between two drops (step)", ge=1, flag="--step-epochs")
    gamma: float = setting(0.1, "factor of each drop (step)", gt=0, le=1, flag="--gamma")
    final_ratio: float = setting(
        0.0, "learning rate at the end, as a share of the peak (cosine)", ge=0, le=1, flag="--final-ratio"
    )
