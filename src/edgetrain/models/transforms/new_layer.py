"""New layers in a model: like their surroundings, and the same each time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ...artifacts.transforms import Layer
from .layers import build_layer


def make_layer(path: str, layer: Layer, like: nn.Module, model: nn.Module) -> nn.Module:
    """A layer with initial parameters, which depend on its path only.

    Args:
        like: in whose mode, and on whose device, it is; where that has no numbers, on the model's.
    """
    with seeded(path):
        new = build_layer(layer)
    for holder in (like, model):
        tensor = next((t for t in (*holder.parameters(), *holder.buffers()) if t.is_floating_point()), None)
        if tensor is not None:
            new.to(tensor.device, tensor.dtype)
            break
    return new.train(like.training)


@contextmanager
def seeded(key: str) -> Iterator[None]:
    """For a while, PyTorch's random numbers depend on a text only; those that follow don't notice."""
    with torch.random.fork_rng(devices=[]):
        # Of the CPU alone: torch.manual_seed goes through all kinds of devices, which takes milliseconds.
        torch.default_generator.manual_seed(zlib.crc32(key.encode()))
        yield


def put_layer(model: nn.Module, path: str, layer: nn.Module) -> nn.Module:
    """The model with a layer at a path; the layer itself where the path is ""."""
    if not path:
        return layer
    model.set_submodule(path, layer)
    return model
