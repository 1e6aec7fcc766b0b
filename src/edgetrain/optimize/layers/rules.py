"""The rules and presets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import batch_norms, focus, identities
from .activations import relu_instead
from .changes import Changes, Replace
from .convnext import conv_norm_relu_instead
from .kernels import kernel_5_instead, kernel_7_instead
from .layer_norm import batch_norm_instead
from .pools import average_pools_instead, max_pools_instead
from .random_layers import no_stochastic_depth, not_in_place, nothing_instead, plain_dropout_instead
from .resizing import by_scale_instead
from .squeeze_excite import identity_instead
from .trainable_pools import trainable_pools_instead


@dataclass(frozen=True)
class Rule:
    """What is replaced by what.

    Attributes:
        about: what it does, for lists.
        apply: does it.
        keeps_function: whether the model computes the same in evaluation, for inputs of the size that it was
            given.
        must_match: whether it is an error if there is nothing to replace.
    """

    name: str
    about: str
    apply: Callable[[Changes], None]
    keeps_function: bool = False
    must_match: bool = False


def rule_of(
    name: str, about: str, replace: Replace, keeps_function: bool = False, must_match: bool = False
) -> Rule:
    """A rule that looks at one place at a time."""
    return Rule(name, about, lambda changes: changes.replace(replace), keeps_function, must_match)


# In the order in which they are followed.
_RULES = (
    Rule("focus", "YOLOv5's Focus → a convolution with stride 2", focus.strided_convolutions, True),
    rule_of("squeeze-excite", "squeeze-excite → nothing", identity_instead),
    rule_of("convnext", "ConvNeXt's blocks → convolution, batch norm, ReLU", conv_norm_relu_instead),
    rule_of("activations", "ReLU6, GELU, SiLU, Mish, Hardswish, Hardsigmoid, LeakyReLU → ReLU", relu_instead),
    rule_of("max-pools", "max-pools of 5x5 and more → chains of 3x3 and 2x2", max_pools_instead, True),
    rule_of("average-pools", "average pools of 5x5 and more → chains of 3x3 and 2x2", average_pools_instead),
    rule_of("pool-gradients", "pools without a gradient → equal ones with", trainable_pools_instead, True),
    rule_of("resize", "resizing to a size → by a whole factor", by_scale_instead, True),
    rule_of("kernel-6", "convolutions of 6x6 → 5x5", kernel_5_instead),
    rule_of("large-kernels", "convolutions of more than 7x7 → their middle 7x7", kernel_7_instead),
    rule_of("layer-norm", "layer norm → batch norm", batch_norm_instead),
    rule_of("dropout", "dropout and stochastic depth → nothing", nothing_instead, True),
    rule_of("stochastic-depth", "stochastic depth → nothing", no_stochastic_depth, True),
    rule_of("plain-dropout", "dropout of channels, alpha dropout → of values", plain_dropout_instead, True),
    rule_of("in-place-dropout", "dropout in place → not in place", not_in_place, True),
    Rule("fold-batch-norm", "batch norms → part of the layers before them", batch_norms.fold, True),
    Rule("identities", "layers that do nothing → left out", identities.leave_out, True),
)
RULES = {rule.name: rule for rule in _RULES}
PRESETS: dict[str, tuple[str, ...]] = {
    "lite": (
        *("squeeze-excite", "convnext", "activations", "max-pools", "average-pools", "resize", "kernel-6"),
        *("stochastic-depth", "in-place-dropout"),
    ),
    "no-retrain": ("max-pools", "dropout", "fold-batch-norm", "identities"),
    "trainable": ("stochastic-depth", "in-place-dropout", "plain-dropout", "pool-gradients"),
}
