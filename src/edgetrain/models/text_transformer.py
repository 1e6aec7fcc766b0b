"""A small transformer over tokens, for text and other sequences of ids."""

from __future__ import annotations

import math

import torch
from torch import nn


class Attention(nn.Module):
    """Self-attention of several heads, written out in matrix products, which every runtime has."""

    def __init__(self, width: int, heads: int) -> None:
        """
        Args:
            width: numbers D per token, a multiple of `heads`.
            heads: number of heads N.
        """
        super().__init__()
        self.heads = heads
        self.project_in = nn.Linear(width, 3 * width)
        self.project_out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """
        Args:
            x: float32 [B, T, D].
            mask: float32 [T, T], added to the scores: -inf where a token (row) must not look; None: it may
                look everywhere.
        Returns:
            float32 [B, T, D].
        """
        batch, length, width = x.shape
        parts = self.project_in(x).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)  # [B, N, T, D / N] each
        scores = query @ key.transpose(-2, -1) / math.sqrt(width // self.heads)
        if mask is not None:
            scores = scores + mask
        mixed = scores.softmax(-1) @ value
        return self.project_out(mixed.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention, then two linear layers with GELU, each on a normalised input and added to it (pre-norm)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """
        Args:
            x: float32 [B, T, D].
            mask: as `Attention` takes it.
        Returns:
            float32 [B, T, D].
        """
        x = x + self.dropout(self.attention(self.norm1(x), mask))
        return x + self.dropout(self.mlp(self.norm2(x)))


class TextTransformer(nn.Module):
    """Embeddings of tokens and positions, blocks, a norm, and scores of classes at each position."""

    def __init__(
        self,
        length: int,
        num_classes: int,
        vocabulary: int | None = None,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        dropout: float = 0.0,
        causal: bool = True,
        tied: bool = True,
    ) -> None:
        """
        Args:
            length: tokens T of the longest sample.
            num_classes: number of outputs K per token.
            vocabulary: number of different tokens; None: as many as classes, which are then the next tokens.
            width: numbers per token; a multiple of `heads`.
            heads: heads of each attention.
            layers: number of blocks.
            dropout: share of each block's outputs set to zero while training.
            causal: whether a token sees only itself and those before it.
            tied: whether the last layer's weights are those of the token embedding.
        Raises:
            ValueError: width is no multiple of heads, or the weights can't be tied.
        """
        super().__init__()
        vocabulary = num_classes if vocabulary is None else vocabulary
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, but {width} is none of {heads}")
        if tied and vocabulary != num_classes:
            raise ValueError(f"{num_classes} classes can't be tied to {vocabulary} tokens; set tied to false")
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes, bias=False)
        # Small, since the head's scores at the start are products with embeddings.
        for weight in (self.tokens.weight, self.positions, self.head.weight):
            nn.init.normal_(weight, std=0.02)
        if tied:
            self.head.weight = self.tokens.weight
        self.mask: torch.Tensor | None
        mask = torch.full((length, length), -math.inf).triu(1) if causal else None
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """
        Args:
            ids: int64 [B, T], T up to `length`.
        Returns:
            scores of classes, float32 [B, T, K].
        """
        length = ids.shape[1]
        x = self.tokens(ids) + self.positions[:length]
        mask = None if self.mask is None else self.mask[:length, :length]
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x))
