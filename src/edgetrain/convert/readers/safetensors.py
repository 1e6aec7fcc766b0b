"""safetensors: named tensors and nothing else."""

from __future__ import annotations

from ...config.stages import ConvertConfig
from ...errors import InputError
from ..kinds import Identified
from ..source import Source
from ..weights import find_weights
from .named_model import source_of_weights


def read_safetensors(found: Identified, config: ConvertConfig) -> Source:
    """Reads weights for the model named by `--model`.

    Raises:
        InputError: the file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(found.path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise InputError(f"{found.path} is no safetensors file, or a damaged one ({error})") from error
    weights = find_weights(state, str(found.path), config.weights_key)
    return source_of_weights(weights, config, "safetensors", str(found.path))
