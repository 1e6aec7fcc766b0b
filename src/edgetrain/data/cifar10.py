"""`cifar10`: the official CIFAR-10 archive, through torchvision."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import torch

from ..config.data import DataConfig
from ..errors import InputError
from ..reporting import Reporter
from ..vision import import_torchvision
from .base import Source, TensorSplit
from .downloads import download_root, would_download

# Mean and standard deviation of the training images in the 0..1 scale: in colour, and of their luma.
_USUAL = {
    3: ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    1: ((0.4809,), (0.2392,)),
}


def read_cifar10(config: DataConfig, reporter: Reporter) -> Source:
    """Reads CIFAR-10 below `data.root` (default `data`), after downloading it there if it is absent.

    Raises:
        InputError: it can't be downloaded, or what lies there is damaged.
    """
    root = download_root(config)
    if would_download(config):
        reporter.info(f"CIFAR-10 isn't in {root}; downloading it (170 MB)")
    train, test = (_open(root, train) for train in (True, False))
    return Source(
        train=_split(train),
        test=_split(test),
        classes=list(train.classes),
        usual=_USUAL,
        flips=True,
        crops=True,
    )


def _open(root: Path, train: bool) -> Any:
    """torchvision's data set, without what it prints."""
    import_torchvision()
    from torchvision.datasets import CIFAR10

    existed = root.exists()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return CIFAR10(str(root), train=train, download=True)
    except Exception as error:  # the network, the disk, a damaged archive: torchvision raises of all kinds
        if not existed:
            with suppress(OSError):
                root.rmdir()
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"CIFAR-10 could not be read from {root} or downloaded ({reason}); use --data image-folder "
            "--data-dir DIR with its images as files, or --data digits, which needs no download"
        ) from error


def _split(data: Any) -> TensorSplit:
    images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
    return TensorSplit.of(images, torch.tensor(data.targets, dtype=torch.int64))
