"""Operators that are functions of tensors: images, shapes, places."""

from __future__ import annotations

import torch
from operator_table import Operator, Use, call, calls
from torch import Tensor
from torch.nn import functional as F

IMAGE, VECTORS = (3, 5, 6), (4, 6)


def _resized(shape: tuple[int, ...] = IMAGE, **settings: object) -> Use:
    return call(shape, lambda x: F.interpolate(x, **settings))


IMAGES = [
    Operator(
        "interpolate, nearest",
        [
            _resized(scale_factor=2),
            _resized(size=(7, 4)),
            _resized(scale_factor=0.5),
            _resized((3, 5), scale_factor=2),
            _resized((2, 3, 2, 3), scale_factor=2),
        ],
    ),
    Operator("interpolate, nearest-exact", [_resized(scale_factor=2, mode="nearest-exact")]),
    Operator(
        "interpolate, bilinear",
        [
            _resized(scale_factor=2, mode="bilinear"),
            _resized(size=(9, 4), mode="bilinear", align_corners=True),
            _resized(scale_factor=0.5, mode="bilinear"),
            _resized(size=(3, 3), mode="bilinear", antialias=True),
        ][:3],
        daily=True,
    ),
    Operator("interpolate, linear", [_resized((3, 5), scale_factor=2, mode="linear")]),
    Operator("interpolate, trilinear", [_resized((2, 3, 2, 3), scale_factor=2, mode="trilinear")]),
    Operator("interpolate, bicubic", [_resized(scale_factor=2, mode="bicubic")]),
    Operator("interpolate, area", [_resized(size=(3, 3), mode="area")]),
    Operator(
        "interpolate, antialiased", [_resized(size=(3, 3), mode="bilinear", antialias=True)], "upsample"
    ),
    Operator(
        "pad, constant",
        calls(
            IMAGE,
            lambda x: F.pad(x, (1, 2, 0, 1)),
            lambda x: F.pad(x, (-1, 1, 2, -2), value=0.5),
            lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)),
        ),
        daily=True,
    ),
    Operator(
        "pad, reflect",
        [
            *calls(IMAGE, lambda x: F.pad(x, (1, 2, 2, 1), mode="reflect")),
            *calls((3, 5), lambda x: F.pad(x, (2, 1), mode="reflect")),
            *calls((2, 3, 3, 3), lambda x: F.pad(x, (1, 1, 1, 0, 2, 1), mode="reflect")),
        ],
    ),
    Operator(
        "pad, replicate",
        [
            *calls(IMAGE, lambda x: F.pad(x, (1, 2, 2, 1), mode="replicate")),
            *calls((3, 5), lambda x: F.pad(x, (2, 1), mode="replicate")),
            *calls((2, 3, 3, 3), lambda x: F.pad(x, (1, 1, 1, 0, 2, 1), mode="replicate")),
        ],
    ),
    Operator("pad, circular", calls(IMAGE, lambda x: F.pad(x, (1, 2, 2, 1), mode="circular"))),
    Operator(
        "pixel_shuffle",
        [
            *calls((8, 2, 3), lambda x: F.pixel_shuffle(x, 2)),
            *calls((2, 4, 6), lambda x: F.pixel_unshuffle(x, 2)),
        ],
    ),
    Operator("channel_shuffle", calls((6, 2, 3), lambda x: F.channel_shuffle(x, 3))),
    Operator(
        "grid_sample",
        calls((2, 4, 4), lambda x: F.grid_sample(x, x.permute(0, 2, 3, 1).tanh(), align_corners=False)),
        "grid_sampler",
    ),
    Operator(
        "affine_grid",
        calls(
            (2, 4, 4),
            lambda x: (
                x * F.affine_grid(x[:, 0, :2, :3], [len(x), 2, 4, 4], align_corners=False).sum(-1)[:, None]
            ),
        ),
        "affine_grid",
    ),
]

SHAPES = [
    Operator(
        "cat, stack",
        calls(VECTORS, lambda x: torch.cat([x, x[:, 1:3], -x], 1), lambda x: torch.stack([x, x * x], 1)),
    ),
    Operator(
        "chunk, split, unbind",
        calls(
            VECTORS,
            lambda x: torch.mul(*x.chunk(2, -1)),
            lambda x: x.split([1, 3], 1)[1] - x.split([1, 3], 1)[0],
            lambda x: x.unbind(1)[0] * x.unbind(1)[2],
        ),
    ),
    Operator("flip", calls(VECTORS, lambda x: x.flip(1), lambda x: x.flip(1, 2), lambda x: torch.fliplr(x))),
    Operator(
        "roll",
        calls(
            VECTORS, lambda x: x.roll(2, 1), lambda x: x.roll((1, -2), (1, 2)), lambda x: x.roll(3, -1) * x
        ),
    ),
    Operator("rot90", calls((2, 3, 4), lambda x: torch.rot90(x, 1, (2, 3)))),
    Operator(
        "repeat, expand, tile",
        calls(
            VECTORS,
            lambda x: x.repeat(1, 2, 1),
            lambda x: x.unsqueeze(2).expand(-1, -1, 3, -1) * 0.5,
            lambda x: x.repeat_interleave(2, 1),
            lambda x: x.tile(1, 1, 2),
        ),
    ),
    Operator(
        "view, permute, squeeze",
        calls(
            VECTORS,
            lambda x: x.permute(0, 2, 1).reshape(-1, 3, 8),
            lambda x: x.transpose(1, 2).unsqueeze(1).squeeze(1).contiguous().view(-1, 24),
            lambda x: x.unflatten(2, (2, 3)).movedim(3, 1),
            lambda x: x.swapaxes(1, 2).flatten(1),
        ),
    ),
    Operator(
        "slice, select, narrow",
        calls(
            VECTORS,
            lambda x: x[:, 1:, ::2],
            lambda x: x[:, 2] * x[:, -1],
            lambda x: x.narrow(2, 1, 3),
            lambda x: x[..., None, :2],
            lambda x: x.diagonal(0, 1, 2),
        ),
    ),
    Operator(
        "writes into parts",
        calls(
            VECTORS,
            lambda x: _written(x),
            lambda x: _assigned(x),
            lambda x: x.clone().fill_diagonal_(0.0) if x.dim() == 2 else x * 1.0,
        ),
    ),
    Operator("unfold of a dimension", calls((3, 8), lambda x: x.unfold(2, 3, 2))),
    Operator(
        "meshgrid",
        calls(
            (4,),
            lambda x: x[:, :, None] * torch.meshgrid(torch.arange(4.0), torch.arange(3.0), indexing="ij")[1],
        ),
    ),
]


def _written(x: Tensor) -> Tensor:
    y = x * 2
    y[:, 1:3] = y[:, :2] * 3
    return y


def _assigned(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[:, 0] = x[:, 1]
    y[:, :, 2:4] += x[:, :, :2]
    return y


PLACES = [
    Operator(
        "gather",
        [
            *calls((7, 3), lambda x, ids: x.gather(1, ids[:, :, None].expand(-1, -1, 3)), ids=True),
        ],
        daily=True,
    ),
    Operator(
        "take_along_dim",
        calls((7,), lambda x, ids: torch.take_along_dim(x, ids, 1), ids=True),
        "take_along_dim",
        daily=True,
    ),
    Operator(
        "scatter, scatter_add",
        calls(
            (6,),
            lambda x, ids: torch.zeros_like(x).repeat(1, 2).scatter_add(1, ids, x),
            lambda x, ids: x.repeat(1, 2).scatter(1, torch.arange(6).flip(0).expand(x.shape[0], 6), x * 2),
            ids=True,
        ),
    ),
    Operator(
        "scatter_reduce",
        calls(
            (6,), lambda x, ids: torch.zeros_like(x).repeat(1, 2).scatter_reduce(1, ids, x, "amax"), ids=True
        ),
        "scatter_reduce",
    ),
    Operator(
        "index_select",
        calls(
            VECTORS,
            lambda x: x.index_select(1, torch.tensor([2, 0, 2])),
            lambda x: x[:, torch.tensor([3, 1])],
            lambda x: x[:, :, torch.tensor([5, 0, 0])],
            lambda x: x[:, torch.tensor([[0, 1], [1, 2]]), torch.tensor([[3], [4]])],
        ),
    ),
    Operator("index_add", calls(VECTORS, lambda x: x.index_add(1, torch.tensor([0, 2]), x[:, :2]))),
    Operator("index_put", calls(VECTORS, lambda x: _put(x))),
    Operator(
        "where, masked_fill",
        calls(
            VECTORS,
            lambda x: torch.where(x > 0, x, 0.1 * x),
            lambda x: x.masked_fill(x < -0.2, 0.5),
            lambda x: torch.where(x.abs() > 0.3, x, torch.tensor(2.0, dtype=x.dtype)),
        ),
    ),
    Operator(
        "topk",
        calls(
            VECTORS,
            lambda x: x.topk(3, -1)[0],
            lambda x: x.topk(2, 1, largest=False)[0],
            lambda x: x.topk(2)[1] * x[:, :, :2],
        ),
    ),
    Operator("sort", calls(VECTORS, lambda x: x.sort(-1)[0], lambda x: x.sort(1, descending=True)[0])),
    Operator("kthvalue, median", calls(VECTORS, lambda x: x.kthvalue(2, -1)[0], lambda x: x.median(-1)[0])),
    Operator(
        "argmax, argmin",
        calls(VECTORS, lambda x: x * x.argmax(-1, keepdim=True), lambda x: x * x.argmin(1, keepdim=True)),
    ),
    Operator("tril, triu", calls((4, 4), lambda x: x.tril(), lambda x: x.triu(1))),
    Operator(
        "bucketize, searchsorted",
        calls((5,), lambda x: x * torch.bucketize(x, torch.linspace(-1, 1, 5, dtype=x.dtype))),
        "bucketize",
    ),
]


def _put(x: Tensor) -> Tensor:
    y = x.clone()
    y[:, torch.tensor([0, 2])] = x[:, torch.tensor([1, 3])] * 2
    return y


FUNCTIONS = {
    "images": IMAGES,
    "shapes": SHAPES,
    "places": PLACES,
}
