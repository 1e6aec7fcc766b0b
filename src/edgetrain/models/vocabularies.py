"""Which inputs of a model are ids, and of how many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn


@contextlib.contextmanager
def watch_vocabularies(model: nn.Module, inputs: Mapping[str, Tensor]) -> Iterator[dict[str, int]]:
    """Watches a model while it runs on such inputs, [B, ...] each.

    Yields:
        filled by the run: how many ids an int64 input may hold, by name, where it goes into an embedding as
        it is; the fewest where it goes into several.
    """
    found: dict[str, int] = {}
    ids: dict[str, Tensor] = {}

    def begin(_: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        """Those that the model is given: copies, see `models.calling`."""
        given = keywords or dict(zip(inputs, arguments, strict=False))
        ids.update({name: tensor for name, tensor in given.items() if tensor.dtype == torch.int64})

    def note(embedding: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        assert isinstance(embedding, nn.Embedding)
        for looked_up in (*arguments, *keywords.values()):
            for name, tensor in ids.items():
                if isinstance(looked_up, Tensor) and _is_same(looked_up, tensor):
                    found[name] = min(found.get(name, embedding.num_embeddings), embedding.num_embeddings)

    embeddings = [module for module in model.modules() if isinstance(module, nn.Embedding)]
    with contextlib.ExitStack() as hooks:
        hooks.enter_context(model.register_forward_pre_hook(begin, with_kwargs=True))
        for embedding in embeddings:
            hooks.enter_context(embedding.register_forward_pre_hook(note, with_kwargs=True))
        yield found


def _is_same(tensor: Tensor, other: Tensor) -> bool:
    """Whether both are the same numbers of one memory, as a tensor and its view of another shape are."""
    return tensor is other or (
        tensor.data_ptr() == other.data_ptr()
        and tensor.numel() == other.numel()
        and tensor.is_contiguous()  # a part that is repeated may begin like the whole and be as large
        and other.is_contiguous()
    )
