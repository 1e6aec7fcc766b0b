"""Operators that compute: sums, elements, products."""

from __future__ import annotations

import torch
from operator_table import Operator, calls
from torch.nn import functional as F

VECTORS = (4, 6)

SUMS = [
    Operator(
        "sum, mean",
        calls(
            VECTORS,
            lambda x: x.sum(1),
            lambda x: x.mean((1, 2), keepdim=True),
            lambda x: x.mean(-1),
            lambda x: x - x.mean(1, keepdim=True),
        ),
    ),
    Operator("sum over the batch", calls(VECTORS, lambda x: x - x.mean(0), lambda x: x * x.sum())),
    Operator(
        "var, std",
        calls(
            VECTORS,
            lambda x: x.var(-1),
            lambda x: x.std(1),
            lambda x: x.var(-1, correction=0, keepdim=True) + x,
            lambda x: torch.std_mean(x, -1)[0] * torch.var_mean(x, -1)[1],
        ),
        daily=True,
    ),
    Operator(
        "norm",
        calls(
            VECTORS,
            lambda x: x.norm(dim=-1),
            lambda x: x.norm(p=1, dim=1),
            lambda x: torch.linalg.vector_norm(x, 3, -1),
            lambda x: torch.linalg.vector_norm(x, float("inf"), -1),
            lambda x: torch.linalg.matrix_norm(x),
        ),
    ),
    Operator(
        "logsumexp", calls(VECTORS, lambda x: x.logsumexp(-1), lambda x: x.logsumexp((1, 2))), daily=True
    ),
    Operator("amax, amin", calls(VECTORS, lambda x: x.amax(1), lambda x: x.amin((1, 2), keepdim=True) * x)),
    Operator("max, min", calls(VECTORS, lambda x: x.max(1)[0], lambda x: x.min(-1)[0])),
    Operator("max of all", calls(VECTORS, lambda x: x / (1 + x.abs().max()))),
    Operator("prod", calls((3, 4), lambda x: x.prod(1), lambda x: x.prod(-1, keepdim=True) * x), "cumprod"),
    Operator("cumsum", calls(VECTORS, lambda x: x.cumsum(1), lambda x: x.cumsum(-1))),
    Operator("cumprod", calls((3, 4), lambda x: x.cumprod(1)), "cumprod"),
    Operator("cummax", calls(VECTORS, lambda x: x.cummax(1)[0]), "cummax"),
    Operator("logcumsumexp", calls(VECTORS, lambda x: x.logcumsumexp(1)), "logcumsumexp"),
    Operator(
        "count of what is true",
        calls(
            VECTORS,
            lambda x: x * (x > 0).sum(-1, keepdim=True),
            lambda x: x * (x > 0).any(-1, keepdim=True),
            lambda x: x * (x > -3).all(1, keepdim=True),
        ),
    ),
]

ELEMENTS = [
    Operator(
        "arithmetic",
        calls(
            VECTORS,
            lambda x: (x + 1) * (2 - x) / 3 - x,
            lambda x: 1 / (x * x + 1),
            lambda x: torch.addcmul(x, x, x, value=0.5),
            lambda x: torch.addcdiv(x, x, x * x + 1),
            lambda x: torch.lerp(x, x * x, 0.3),
            lambda x: torch.rsub(x, 2, alpha=3),
        ),
    ),
    Operator(
        "exp, log",
        [
            *calls(VECTORS, torch.exp, torch.expm1),
            *calls(VECTORS, torch.log, torch.log1p, torch.log2, torch.log10, given="positive"),
        ],
    ),
    Operator("exp2", calls(VECTORS, torch.exp2)),
    Operator(
        "sqrt, rsqrt, reciprocal",
        calls(VECTORS, torch.sqrt, torch.rsqrt, torch.reciprocal, given="positive"),
    ),
    Operator(
        "pow",
        [
            *calls(VECTORS, lambda x: x**2, lambda x: x**3, lambda x: 2.0**x),
            *calls(
                VECTORS, lambda x: x**-0.5, lambda x: x**1.7, lambda x: x[:, :2] ** x[:, 2:], given="positive"
            ),
        ],
        daily=True,
    ),
    Operator("sin, cos", calls(VECTORS, torch.sin, torch.cos)),
    Operator("tan, atan, asinh", calls(VECTORS, torch.tan, torch.atan, torch.asinh)),
    Operator("sinh, cosh", calls(VECTORS, torch.sinh, torch.cosh)),
    Operator("asin, acos, atanh", calls(VECTORS, torch.asin, torch.acos, torch.atanh, given="unit")),
    Operator("atan2", calls(VECTORS, lambda x: torch.atan2(x[:, :2], x[:, 2:]))),
    Operator("erf", calls(VECTORS, torch.erf, torch.erfc)),
    Operator("logit", calls(VECTORS, torch.logit, given="unit")),
    Operator("erfinv", calls(VECTORS, torch.erfinv, given="unit"), "erfinv"),
    Operator("copysign", calls(VECTORS, lambda x: torch.copysign(x, x.flip(1))), "copysign"),
    Operator("fmax", calls(VECTORS, lambda x: torch.fmax(x, x.flip(1))), "fmax"),
    Operator("lgamma", calls(VECTORS, torch.lgamma, given="positive"), "lgamma"),
    Operator(
        "abs, sign, neg",
        calls(VECTORS, torch.abs, lambda x: x * x.sign(), lambda x: -x),
    ),
    Operator(
        "clamp",
        calls(
            VECTORS,
            lambda x: x.clamp(-0.3, 0.4),
            lambda x: x.clamp(min=0.1),
            lambda x: x.clip(max=0.1),
            lambda x: x.clamp(x.flip(1) - 0.2, None),
        ),
        daily=True,
    ),
    Operator(
        "maximum, minimum",
        calls(
            VECTORS,
            lambda x: torch.maximum(x[:, :2], x[:, 2:]),
            lambda x: torch.minimum(x[:, :1], x),
        ),
    ),
    Operator(
        "floor, round, remainder",
        calls(
            VECTORS,
            lambda x: x - x.floor(),
            lambda x: x * x.round(),
            lambda x: x.remainder(0.7),
            lambda x: x * x.ceil() + x.trunc(),
            lambda x: torch.fmod(x, 0.6),
            lambda x: x.frac(),
        ),
    ),
    Operator(
        "comparisons",
        calls(
            VECTORS,
            lambda x: x * (x > 0) + x * (x <= 0.1).to(x.dtype),
            lambda x: x * ((x > 0) & (x < 0.3)),
            lambda x: x * ~(x > 0.2),
            lambda x: x * torch.logical_or(x > 0.5, x < -0.5),
            lambda x: x * (x != 0),
        ),
    ),
    Operator(
        "nan_to_num, isnan",
        calls(
            VECTORS,
            lambda x: x.nan_to_num(),
            lambda x: x.masked_fill(x.isnan(), 0.0),
            lambda x: x * x.isfinite(),
        ),
    ),
    Operator("xlogy", calls(VECTORS, lambda x: torch.xlogy(x, x.flip(1)), given="positive")),
    Operator("hypot", calls(VECTORS, lambda x: torch.hypot(x, x.flip(1))), "hypot"),
    Operator("sinc", calls(VECTORS, torch.sinc)),
    Operator("square, logaddexp", calls(VECTORS, torch.square, lambda x: torch.logaddexp(x, x.flip(1)))),
    Operator(
        "other types",
        calls(
            VECTORS,
            lambda x: x * x.to(torch.int64),
            lambda x: x * (x > 0).int(),
            lambda x: (x * torch.arange(6)).to(x.dtype),
        ),
    ),
    Operator(
        "detach", calls(VECTORS, lambda x: x * x.detach(), lambda x: x.round().detach() - x.detach() + x)
    ),
]

PRODUCTS = [
    Operator(
        "matmul, bmm",
        calls(
            VECTORS,
            lambda x: x @ x.transpose(1, 2),
            lambda x: torch.bmm(x.transpose(1, 2), x),
            lambda x: x @ x[0, 0],
            lambda x: x[:, None] @ x[:, :, :, None].expand(-1, -1, -1, 2),
            lambda x: torch.baddbmm(x[:, :, :4], x, x.transpose(1, 2), beta=0.5),
        ),
    ),
    Operator(
        "einsum",
        calls(
            VECTORS,
            lambda x: torch.einsum("bij,bkj->bik", x, x),
            lambda x: torch.einsum("bij->bji", x),
            lambda x: torch.einsum("bij,bij->b", x, x),
            lambda x: torch.einsum("bij,cij->bc", x, x[:1]),
        ),
        daily=True,
    ),
    Operator(
        "linear",
        [
            *calls((6,), lambda x: F.linear(x, torch.ones(3, 6, dtype=x.dtype) * 0.1)),
            *calls(VECTORS, lambda x: torch.addmm(x[0, :, :4], x[0], x[0].T) + x[:, :, :4]),
        ],
    ),
    Operator(
        "outer, dot",
        calls(
            (4,),
            lambda x: x[:, :, None] * x[:, None],
            lambda x: x * torch.dot(x[0], x[0]),
        ),
    ),
    Operator("cosine_similarity", calls(VECTORS, lambda x: F.cosine_similarity(x[:, :2], x[:, 2:], -1))),
    Operator(
        "pairwise_distance",
        calls(
            VECTORS,
            lambda x: F.pairwise_distance(x[:, 0], x[:, 1]),
            lambda x: torch.dist(x[:, 0], x[:, 1]) * x,
        ),
    ),
    Operator(
        "cdist",
        calls(VECTORS, lambda x: torch.cdist(x, x.flip(1) + 1), lambda x: torch.cdist(x, x.flip(1) + 1, p=1)),
    ),
    Operator("cross", calls((4, 3), lambda x: torch.linalg.cross(x, x.flip(1)))),
    Operator(
        "inverse", calls((3, 3), lambda x: torch.linalg.inv(x + 3 * torch.eye(3, dtype=x.dtype))), "linalg"
    ),
    Operator("svd", calls((3, 3), lambda x: torch.linalg.svdvals(x)), "linalg"),
    Operator("fft", calls((8,), lambda x: torch.fft.rfft(x).abs()), "fft"),
]

ARITHMETIC = {
    "sums": SUMS,
    "elements": ELEMENTS,
    "products": PRODUCTS,
}
