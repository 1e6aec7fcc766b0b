"""One reader per format: a file becomes a `Source`."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from ...config.convert import ConvertConfig
from ...upstream.imports import complete_torch
from ..kinds import Identified, Kind
from ..source import Source

# Module and function. Only one of them is needed for a file, and some load much that weights never need.
_READERS: dict[Kind, tuple[str, str]] = {
    "saved by torch.save": ("torch_save", "read_torch_save"),
    "pickle": ("torch_save", "read_torch_save"),
    "arrays of numpy": ("npz", "read_npz"),
    "TorchScript": ("torchscript", "read_torchscript"),
    "exported program": ("exported_program", "read_exported_program"),
    "safetensors": ("safetensors", "read_safetensors"),
    "sharded checkpoint": ("sharded", "read_sharded"),
}


def read_source(found: Identified, config: ConvertConfig) -> Source:
    """Reads a file of any format.

    Raises:
        InputError: it is damaged, untrusted, of a newer format, or does not fit its model.
        UsageError: it takes a flag to be read, which the message names.
    """
    if found.kind in ("TorchScript", "exported program"):
        complete_torch()
    module, name = _READERS[found.kind]
    read: Callable[[Identified, ConvertConfig], Source] = getattr(
        importlib.import_module(f".{module}", __package__), name
    )
    return read(found, config)
