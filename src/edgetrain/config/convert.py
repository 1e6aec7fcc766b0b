"""Settings of `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import model_validator

from .base import Section, setting
from .input_shapes import NamedInputShapes


class ConvertConfig(Section):
    """Conversion of checkpoints of any origin."""

    to: Literal["pte", "train", "pth"] = setting(
        "pte",
        "pte: a program for inference; train: one with its backward graph, as 'export' makes it; pth: a "
        "checkpoint that every command takes",
    )
    model: str | None = setting(
        None,
        "the model that weights belong to: a name as for 'train', torchvision:NAME, transformers:CLASS (of "
        "the config.json beside them) or package.module:factory",
    )
    model_args: dict[str, Any] = setting(
        {}, "arguments of the model, as in num_classes=10", flag="--model-arg"
    )
    weights_key: str | None = setting(
        None, "entry of the checkpoint that has the weights, as in state_dict_ema; default: found by name"
    )
    allow_extra: bool = setting(False, "leave out weights that the model has no place for")
    input_shape: NamedInputShapes = setting(
        [],
        "shape of an input without batch, as in 3,32,32, 16:int64 or mask=16:bool; repeat it for more "
        "inputs, also for those of a tuple: state.0=8 and state.1=8",
        commas=False,
    )
    batched: bool = setting(
        True,
        "whether inputs have a batch as their first dimension; if not, --input-shape is the whole shape, and "
        "the program is one for inference",
    )
    input_value: dict[str, bool | int | float | str] = setting(
        {}, "fixes an argument of forward that is no tensor, as in sr=16000"
    )
    output_name: str | None = setting(
        None, "keeps this output of several: a name, or output, output1, ... where they have none"
    )
    inputs: Path | None = setting(
        None, ".npz with samples to compare on and to calibrate int8 with; default: random ones"
    )
    backend: Literal["portable", "xnnpack"] = setting("portable", "what computes a program for inference")
    precision: Literal["float32", "int8"] = setting("float32", "arithmetic; int8 needs xnnpack")
    max_batch_size: int = setting(1, "largest batch of a program for inference", ge=1)
    tolerance: float = setting(
        1e-5,
        "largest relative error of an output that is accepted, or three times the source's own float32 error "
        "where that is larger",
        ge=1e-7,
    )
    min_sqnr: float = setting(25.0, "least signal to quantization noise of an int8 program [dB]")
    trust_pickle: bool = setting(False, "unpickle Python objects, which runs any code that is in the file")
    time_limit: int = setting(600, "seconds a file may take", ge=1)
    memory_limit: int = setting(16, "memory a file may take [GiB]", ge=1)
    seed: int = setting(0, "seed of the random samples", ge=0)

    @model_validator(mode="after")
    def _fits_together(self) -> ConvertConfig:
        if self.precision == "int8" and self.backend != "xnnpack":
            raise ValueError(
                "precision int8 needs the backend xnnpack: ExecuTorch's portable kernels have no int8"
            )
        if self.to != "pte" and (self.precision != "float32" or self.backend != "portable"):
            raise ValueError("backend and precision are those of a program for inference; they need to: pte")
        if not self.batched and (self.to != "pte" or self.max_batch_size > 1 or not self.input_shape):
            raise ValueError(
                "inputs without a batch need input_shape, and are for programs of one sample (pte)"
            )
        if not self.batched and self.precision == "int8":
            raise ValueError("int8 is for inputs with a batch")
        return self
