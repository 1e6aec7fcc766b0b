"""Data sets: how each is read, prepared, packed, and cut into batches that can be repeated exactly."""

from .base import Dataset, Split
from .fingerprint import fingerprint
from .loader import Batch, BatchLoader
from .packing import pack_dataset, pack_split
from .registry import load_dataset

__all__ = [
    "Batch",
    "BatchLoader",
    "Dataset",
    "Split",
    "fingerprint",
    "load_dataset",
    "pack_dataset",
    "pack_split",
]
