"""The list of built-in models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from .cifar_cnn import CifarCNN
from .cnn1d import CNN1d
from .digits_cnn import DigitsCNN
from .mlp import MLP
from .text_transformer import TextTransformer
from .xor_mlp import XorMLP


@dataclass(frozen=True)
class Builtin:
    """A model of edgetrain.

    Attributes:
        factory: builds it; what its parameters are called decides what is filled in from the data
            (`arguments.from_data`).
        dims: dimensions of one input sample, as 3 for [C, H, W]; None for any.
        dtype: of its input; int64 where it takes ids.
    """

    factory: Callable[..., nn.Module]
    dims: int | None
    dtype: Literal["float32", "int64"] = "float32"


BUILTINS: dict[str, Builtin] = {
    "digits_cnn": Builtin(DigitsCNN, dims=3),
    "cifar_cnn": Builtin(CifarCNN, dims=3),
    "xor_mlp": Builtin(XorMLP, dims=1),
    "mlp": Builtin(MLP, dims=None),
    "cnn1d": Builtin(CNN1d, dims=2),
    "text_transformer": Builtin(TextTransformer, dims=1, dtype="int64"),
}
