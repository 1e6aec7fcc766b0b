"""Data sets: how each is read, prepared, packed, and cut into batches that can be repeated exactly.

To add one: write `data/NAME.py` with a function that returns a `Source` and add a line to `DATA_SETS` of
`config/names.py`.
"""

from .base import Dataset, Split
from .fingerprint import fingerprint, fingerprints
from .loader import Batch, BatchLoader
from .packing import pack_dataset, pack_split
from .registry import load_dataset

__all__ = [
    "Batch",
    "BatchLoader",
    "Dataset",
    "Split",
    "fingerprint",
    "fingerprints",
    "load_dataset",
    "pack_dataset",
    "pack_split",
]
