"""Operators that are modules of several parts, or change what others are: attention, recurrent layers,
embeddings, weights, dropouts."""

from __future__ import annotations

import torch
from operator_table import KINDS, Operator, Use, call, layer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

LINE, IMAGE, VOLUME = (3, 9), (3, 7, 6), (2, 5, 4, 6)


def _attention(**settings: object) -> Use:
    def attend(x: Tensor) -> Tensor:
        query, key, value = x.reshape(-1, 2, 5, 12).split(4, -1)
        masks = {
            "boolean": torch.ones(5, 5).tril().bool(),
            "added": torch.linspace(-1, 1, 25).reshape(5, 5),
            None: None,
        }
        chosen = {k: v for k, v in settings.items() if k != "mask"}
        return F.scaled_dot_product_attention(query, key, value, masks[settings.get("mask")], **chosen)

    return call((5, 24), attend)


class SelfAttention(nn.Module):
    """nn.MultiheadAttention on one sequence; ids of 0 are left out where asked for."""

    def __init__(self, padded: bool = False, causal: bool = False, **settings: object) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **settings)
        self.padded, self.causal = padded, causal

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        hidden = (ids == 0) & (torch.arange(6) > 0) if self.padded else None
        mask = torch.ones(6, 6).triu(1).bool() if self.causal else None
        return self.attention(x, x, x, hidden, need_weights=self.causal, attn_mask=mask)[0]


ATTENTION = [
    Operator(
        "scaled_dot_product_attention",
        [
            _attention(),
            _attention(is_causal=True),
            _attention(mask="boolean"),
            _attention(mask="added", scale=0.3),
            _attention(dropout_p=0.2),
        ],
        daily=True,
    ),
    Operator(
        "scaled_dot_product_attention, grouped",
        [
            call(
                (4, 5, 4),
                lambda x: F.scaled_dot_product_attention(x, x[:, :2], x[:, 2:], enable_gqa=True),
            )
        ],
    ),
    Operator(
        "MultiheadAttention",
        [
            Use((6, 8), lambda kwargs=kwargs: SelfAttention(**kwargs), ids=True)
            for kwargs in (
                {},
                {"padded": True},
                {"causal": True, "bias": False},
                {"padded": True, "causal": True, "add_bias_kv": True, "dropout": 0.1},
            )[:3]
        ],
    ),
    Operator(
        "TransformerEncoderLayer",
        [
            layer((6, 8), nn.TransformerEncoderLayer, 8, 2, 16, batch_first=True),
            layer(
                (6, 8), nn.TransformerEncoderLayer, 8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True
            ),
        ],
    ),
]


class Recurrent(nn.Module):
    """The outputs and the last states of a recurrent layer, in one tensor."""

    def __init__(self, kind: type[nn.RNNBase], *args: object, **settings: object) -> None:
        super().__init__()
        self.layers = kind(*args, batch_first=True, **settings)

    def forward(self, x: Tensor) -> Tensor:
        outputs, last = self.layers(x)
        states = last if isinstance(last, tuple) else (last,)
        return torch.cat([outputs.flatten(1), *(state.transpose(0, 1).flatten(1) for state in states)], 1)


RECURRENT = [
    Operator(
        name if recurrent == "fused" else f"{name}, unrolled",
        [
            layer((5, 4), Recurrent, kind, 4, 6, **further),
            layer((5, 4), Recurrent, kind, 4, 3, 2, bidirectional=True, dropout=0.2, bias=False, **further),
        ],
        settings={"recurrent": recurrent},
    )
    for name, kind, further in (
        ("LSTM", nn.LSTM, {}),
        ("LSTM, projected", nn.LSTM, {"proj_size": 2}),
        ("GRU", nn.GRU, {}),
        ("RNN, tanh", nn.RNN, {}),
        ("RNN, relu", nn.RNN, {"nonlinearity": "relu"}),
    )
    for recurrent in ("fused", "unrolled")
]


class Cells(nn.Module):
    """Cells of recurrent layers, called by hand."""

    def __init__(self, kind: type[nn.RNNCellBase]) -> None:
        super().__init__()
        self.cell = kind(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in range(3):
            state = self.cell(x[:, step], state)
        return torch.cat(state, 1) if isinstance(state, tuple) else state


RECURRENT += [
    Operator(
        "LSTMCell, GRUCell, RNNCell", [layer((3, 4), Cells, k) for k in (nn.LSTMCell, nn.GRUCell, nn.RNNCell)]
    )
]


class Embedded(nn.Module):
    """What ids stand for, beside what is given."""

    def __init__(self, **settings: object) -> None:
        super().__init__()
        self.table = nn.Embedding(KINDS, 5, **settings)

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return self.table(ids) * x


class Bag(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(KINDS, 5, mode=mode)

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return self.table(ids) * x


def _with_ids(shape: tuple[int, ...], kind: type[nn.Module], *args: object, **settings: object) -> Use:
    return Use(shape, lambda: kind(*args, **settings), ids=True)


EMBEDDINGS = [
    Operator(
        "embedding",
        [_with_ids((6, 5), Embedded), _with_ids((6, 5), Embedded, padding_idx=2)],
        daily=True,
    ),
    Operator("embedding with a largest norm", [_with_ids((6, 5), Embedded, max_norm=1.0)], "renorm"),
    Operator("embedding_bag", [_with_ids((5,), Bag, m) for m in ("sum", "mean")], "embedding_bag"),
    Operator(
        "one_hot",
        [call((KINDS,), lambda x, ids: (F.one_hot(ids, KINDS).float() * x[:, None]).sum(2), ids=True)],
    ),
]


class Bilinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(2, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x[:, :2], x[:, 2:])


WEIGHTS = [
    Operator(
        "weight_norm",
        [
            Use((6,), lambda: nn.utils.weight_norm(nn.Linear(6, 4))),
            Use(IMAGE, lambda: nn.utils.weight_norm(nn.Conv2d(3, 4, 3))),
            Use((6,), lambda: parametrizations.weight_norm(nn.Linear(6, 4))),
            Use((6,), lambda: parametrizations.weight_norm(nn.Linear(6, 4), dim=None)),
        ],
    ),
    Operator(
        "spectral_norm",
        [
            Use((6,), lambda: parametrizations.spectral_norm(nn.Linear(6, 4))),
            Use(IMAGE, lambda: nn.utils.spectral_norm(nn.Conv2d(3, 4, 3))),
        ],
    ),
    Operator("orthogonal", [Use((6,), lambda: parametrizations.orthogonal(nn.Linear(6, 4)))], "householder"),
    Operator("bilinear", [layer((6,), Bilinear)]),
]


class Tied(nn.Module):
    """One weight, used by two layers, by itself and transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.tanh(self.first(x))) @ self.first.weight.T


class Counted(nn.Module):
    """A buffer that forward changes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.linspace(0.1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
        return x - self.mean


WEIGHTS += [
    Operator("tied weights", [layer((6,), Tied)]),
    Operator("buffers changed in forward", [layer((6,), Counted)], settings={"batch_norm": "train"}),
]


class StochasticDepth(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        size = [x.shape[0] if self.mode == "row" else 1] + [1] * (x.dim() - 1)
        return x * torch.empty(size, dtype=x.dtype).bernoulli_(0.7).div_(0.7)


DROPOUTS = [
    Operator(
        "dropout",
        [
            layer((6,), nn.Dropout, 0.3),
            layer((6,), nn.Dropout, 0.3, inplace=True),
            layer(LINE, nn.Dropout1d, 0.3),
            layer(IMAGE, nn.Dropout2d, 0.3),
            layer(VOLUME, nn.Dropout3d, 0.3),
            layer((6,), nn.AlphaDropout, 0.3),
            layer(IMAGE, nn.FeatureAlphaDropout, 0.3),
        ],
    ),
    Operator("stochastic depth", [layer(IMAGE, StochasticDepth, mode) for mode in ("row", "batch")]),
    Operator(
        "random numbers",
        [
            call((6,), lambda x: x + 0.1 * torch.rand_like(x)),
            call((6,), lambda x: x * torch.randn_like(x)),
            call((6,), lambda x: x * torch.bernoulli(torch.full_like(x, 0.4))),
            call((4, 5), lambda x: F.gumbel_softmax(x, tau=1.5)),
        ],
    ),
]

MODULES = {
    "attention": ATTENTION,
    "recurrent layers": RECURRENT,
    "embeddings": EMBEDDINGS,
    "weights": WEIGHTS,
    "random ones": DROPOUTS,
}
