"""Which data sets are downloaded where they are absent."""

from __future__ import annotations

from pathlib import Path

from ..config.data import DataConfig

# The folder each has below `data.root` once it is there.
_FOLDERS = {"cifar10": "cifar-10-batches-py"}


def download_root(config: DataConfig) -> Path:
    """Where such a data set lies: `data.root`, by default `data`."""
    return config.root or Path("data")


def would_download(config: DataConfig) -> bool:
    """Whether reading a data set begins with a download."""
    return config.name in _FOLDERS and not (download_root(config) / _FOLDERS[config.name]).is_dir()
