"""One reader per format: a file becomes a `Source`."""

from __future__ import annotations

from collections.abc import Callable

from ...config.convert import ConvertConfig
from ..kinds import Identified, Kind
from ..source import Source
from .exported_program import read_exported_program
from .safetensors import read_safetensors
from .sharded import read_sharded
from .torch_save import read_torch_save
from .torchscript import read_torchscript

READERS: dict[Kind, Callable[[Identified, ConvertConfig], Source]] = {
    "saved by torch.save": read_torch_save,
    "TorchScript": read_torchscript,
    "exported program": read_exported_program,
    "safetensors": read_safetensors,
    "sharded checkpoint": read_sharded,
}


def read_source(found: Identified, config: ConvertConfig) -> Source:
    """Reads a file of any format.

    Raises:
        InputError: it is damaged, untrusted, of a newer format, or does not fit its model.
        UsageError: it takes a flag to be read, which the message names.
    """
    return READERS[found.kind](found, config)
