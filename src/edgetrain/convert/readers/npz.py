"""`.npz`: weights as arrays of numpy, by the names that the model gives them."""

from __future__ import annotations

from ...artifacts.compare_tensors import tensors_in
from ...config.convert import ConvertConfig
from ..kinds import Identified
from ..source import Source
from ..weights import find_weights
from .named_model import source_of_weights


def read_npz(found: Identified, config: ConvertConfig) -> Source:
    """Reads weights for the model named by `--model`.

    Raises:
        InputError: the file is damaged, or has arrays of other things than numbers.
    """
    weights = find_weights(tensors_in(found.path), str(found.path), config.weights_key)
    return source_of_weights(weights, config, "arrays of numpy", found.path)
