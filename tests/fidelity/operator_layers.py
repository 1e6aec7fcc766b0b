"""Operators that are layers: pools, normalisations, activations, convolutions."""

from __future__ import annotations

from operator_table import Operator, Use, call, layer
from torch import nn
from torch.nn import functional as F

LINE, IMAGE, VOLUME = (3, 9), (3, 7, 6), (2, 5, 4, 6)
TRAINED = {"batch_norm": "train"}

POOLS = [
    Operator(
        "max_pool1d",
        [
            layer(LINE, nn.MaxPool1d, 2),
            layer(LINE, nn.MaxPool1d, 3, 2, 1),
            layer(LINE, nn.MaxPool1d, 3, 2, 1, ceil_mode=True),
            layer(LINE, nn.MaxPool1d, 2, 1, 0, 3),
        ],
    ),
    Operator(
        "max_pool2d",
        [
            layer(IMAGE, nn.MaxPool2d, 2),
            layer(IMAGE, nn.MaxPool2d, (3, 2), (2, 1), (1, 0)),
            layer(IMAGE, nn.MaxPool2d, 3, 2, 1, ceil_mode=True),
            layer(IMAGE, nn.MaxPool2d, 2, 1, 0, 2),
            layer((1, 1, 5), nn.MaxPool2d, (1, 3), 1, (0, 1)),
        ],
        daily=True,
    ),
    Operator(
        "max_pool3d",
        [layer(VOLUME, nn.MaxPool3d, 2), layer(VOLUME, nn.MaxPool3d, 3, (2, 1, 2), 1, ceil_mode=True)],
    ),
    Operator(
        "avg_pool1d",
        [
            layer(LINE, nn.AvgPool1d, 2),
            layer(LINE, nn.AvgPool1d, 3, 2, 1),
            layer(LINE, nn.AvgPool1d, 4, 3, 1, ceil_mode=True, count_include_pad=False),
        ],
    ),
    Operator(
        "avg_pool2d",
        [
            layer(IMAGE, nn.AvgPool2d, 2),
            layer(IMAGE, nn.AvgPool2d, (3, 2), (2, 1), (1, 0)),
            layer(IMAGE, nn.AvgPool2d, 3, 2, 1, count_include_pad=False),
            layer(IMAGE, nn.AvgPool2d, 3, 2, 1, ceil_mode=True),
            layer(IMAGE, nn.AvgPool2d, 2, divisor_override=3),
        ],
        daily=True,
    ),
    Operator(
        "avg_pool3d",
        [
            layer(VOLUME, nn.AvgPool3d, 2),
            layer(VOLUME, nn.AvgPool3d, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        ],
    ),
    Operator(
        "adaptive_avg_pool",
        [
            layer(LINE, nn.AdaptiveAvgPool1d, 4),
            layer(IMAGE, nn.AdaptiveAvgPool2d, 1),
            layer(IMAGE, nn.AdaptiveAvgPool2d, (3, None)),
            layer(IMAGE, nn.AdaptiveAvgPool2d, (9, 2)),
            layer(VOLUME, nn.AdaptiveAvgPool3d, (2, 3, 1)),
        ],
    ),
    Operator(
        "adaptive_max_pool",
        [
            layer(LINE, nn.AdaptiveMaxPool1d, 4),
            layer(IMAGE, nn.AdaptiveMaxPool2d, 1),
            layer(IMAGE, nn.AdaptiveMaxPool2d, (3, 4)),
            layer(VOLUME, nn.AdaptiveMaxPool3d, (2, 3, 1)),
        ],
    ),
    Operator("lp_pool", [layer(LINE, nn.LPPool1d, 2, 3), layer(IMAGE, nn.LPPool2d, 2, 2)]),
    Operator("fractional_max_pool", [layer((2, 9, 9), nn.FractionalMaxPool2d, 2, 4)], "fractional_max_pool"),
]


def _after_norm(kind: type[nn.Module], *args: object, **settings: object) -> nn.Module:
    """A norm that is trained already."""
    norm = kind(*args, **settings)
    for tensor in (*norm.parameters(), *norm.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5)
    return norm


def _norms(
    *uses: tuple[tuple[int, ...], type[nn.Module], tuple[object, ...], dict[str, object]],
) -> list[Use]:
    return [layer(shape, _after_norm, kind, *args, **settings) for shape, kind, args, settings in uses]


BATCH_NORMS = _norms(
    ((6,), nn.BatchNorm1d, (6,), {}),
    (LINE, nn.BatchNorm1d, (3,), {"affine": False}),
    (IMAGE, nn.BatchNorm2d, (3,), {"eps": 1e-3, "momentum": 0.3}),
    (VOLUME, nn.BatchNorm3d, (2,), {}),
)
NORMS = [
    Operator("batch_norm, frozen", BATCH_NORMS),
    Operator("batch_norm, trained", BATCH_NORMS, settings=TRAINED),
    Operator(
        "batch_norm without statistics",
        _norms((IMAGE, nn.BatchNorm2d, (3,), {"track_running_stats": False})),
        settings=TRAINED,
    ),
    Operator(
        "layer_norm",
        [
            *_norms(
                ((5, 6), nn.LayerNorm, (6,), {}),
                ((5, 6), nn.LayerNorm, ((5, 6),), {"elementwise_affine": False}),
                ((5, 6), nn.LayerNorm, (6,), {"bias": False}),
            ),
            call((5, 6), lambda x: F.layer_norm(x, (6,))),
        ],
    ),
    Operator("rms_norm", _norms(((5, 6), nn.RMSNorm, (6,), {}), ((5, 6), nn.RMSNorm, (6,), {"eps": 1e-5}))),
    Operator(
        "group_norm",
        _norms(
            ((6, 4, 3), nn.GroupNorm, (3, 6), {}),
            ((6, 5), nn.GroupNorm, (1, 6), {}),
            ((6,), nn.GroupNorm, (2, 6), {"affine": False}),
        ),
        daily=True,
    ),
    Operator(
        "instance_norm",
        _norms(
            (IMAGE, nn.InstanceNorm2d, (3,), {"affine": True}),
            (LINE, nn.InstanceNorm1d, (3,), {}),
            (VOLUME, nn.InstanceNorm3d, (2,), {}),
        ),
    ),
    Operator(
        "instance_norm with statistics",
        _norms((IMAGE, nn.InstanceNorm2d, (3,), {"affine": True, "track_running_stats": True})),
    ),
    Operator("local_response_norm", [layer((6, 4, 3), nn.LocalResponseNorm, 3, alpha=0.1)]),
    Operator(
        "normalize",
        [call((4, 5), lambda x: F.normalize(x, dim=-1)), call((4, 5), lambda x: F.normalize(x, p=1, dim=1))],
    ),
]

_ACTIVATIONS: dict[str, list[nn.Module]] = {
    "relu": [nn.ReLU(), nn.ReLU(inplace=True)],
    "relu6": [nn.ReLU6()],
    "leaky_relu": [nn.LeakyReLU(0.2), nn.LeakyReLU(inplace=True)],
    "gelu": [nn.GELU(), nn.GELU(approximate="tanh")],
    "silu": [nn.SiLU(), nn.SiLU(inplace=True)],
    "mish": [nn.Mish()],
    "hardswish": [nn.Hardswish(), nn.Hardswish(inplace=True)],
    "hardsigmoid": [nn.Hardsigmoid()],
    "hardtanh": [nn.Hardtanh(), nn.Hardtanh(-0.3, 0.2)],
    "elu": [nn.ELU(), nn.ELU(0.5)],
    "selu": [nn.SELU()],
    "celu": [nn.CELU(1.5)],
    "softplus": [nn.Softplus(), nn.Softplus(beta=2, threshold=0.5)],
    "softsign": [nn.Softsign()],
    "tanh": [nn.Tanh()],
    "sigmoid": [nn.Sigmoid()],
    "logsigmoid": [nn.LogSigmoid()],
    "tanhshrink": [nn.Tanhshrink()],
    "softshrink": [nn.Softshrink(0.2)],
    "hardshrink": [nn.Hardshrink(0.2)],
    "threshold": [nn.Threshold(0.1, 0.5)],
    "softmax": [nn.Softmax(-1), nn.Softmax(1), nn.Softmin(-1)],
    "log_softmax": [nn.LogSoftmax(-1), nn.LogSoftmax(1)],
    "glu": [nn.GLU(-1)],
}
ACTIVATIONS = [
    *(
        Operator(
            name,
            [call(shape, module) for module in modules for shape in ((4, 6), (2, 3, 4))],
            daily=name in ("gelu", "softplus"),
        )
        for name, modules in _ACTIVATIONS.items()
    ),
    Operator("prelu", [layer(LINE, nn.PReLU, 3), layer((6,), nn.PReLU)]),
    Operator("rrelu", [layer(LINE, nn.RReLU)]),
]

CONVOLUTIONS = [
    Operator(
        "conv1d",
        [
            layer(LINE, nn.Conv1d, 3, 4, 3),
            layer(LINE, nn.Conv1d, 3, 6, 3, 2, 2, 2, 3, bias=False),
            layer(LINE, nn.Conv1d, 3, 4, 3, padding="same", padding_mode="circular"),
        ],
    ),
    Operator(
        "conv2d",
        [
            layer(IMAGE, nn.Conv2d, 3, 4, 3),
            layer(IMAGE, nn.Conv2d, 3, 5, (3, 1), (2, 1), (1, 0), bias=False),
            layer(IMAGE, nn.Conv2d, 3, 4, 3, padding="same", dilation=2),
            layer(IMAGE, nn.Conv2d, 3, 4, 1),
            layer(IMAGE, nn.Conv2d, 3, 4, 3, padding=1, padding_mode="reflect"),
            layer(IMAGE, nn.Conv2d, 3, 4, (7, 6)),
        ],
    ),
    Operator(
        "conv2d, grouped",
        [
            layer((4, 6, 5), nn.Conv2d, 4, 6, 3, 2, 1, groups=2),
            layer((4, 6, 5), nn.Conv2d, 4, 4, 3, padding=1, groups=4),
            layer((4, 6, 5), nn.Conv2d, 4, 8, 3, stride=2, dilation=2, padding=2, groups=4, bias=False),
        ],
        daily=True,
    ),
    Operator(
        "conv3d",
        [layer(VOLUME, nn.Conv3d, 2, 3, 2), layer(VOLUME, nn.Conv3d, 2, 4, 3, (2, 1, 2), 1, groups=2)],
    ),
    Operator(
        "conv_transpose1d",
        [layer(LINE, nn.ConvTranspose1d, 3, 4, 3), layer(LINE, nn.ConvTranspose1d, 3, 6, 4, 2, 1, 1, 3)],
    ),
    Operator(
        "conv_transpose2d",
        [
            layer((4, 3, 4), nn.ConvTranspose2d, 4, 3, 2, 2),
            layer((4, 3, 4), nn.ConvTranspose2d, 4, 3, 3, 2, 1, 1, bias=False),
            layer((4, 3, 4), nn.ConvTranspose2d, 4, 6, (3, 2), (1, 2), 0, 0, 2, dilation=(2, 1)),
        ],
        daily=True,
    ),
    Operator(
        "conv_transpose3d",
        [
            layer((2, 2, 3, 2), nn.ConvTranspose3d, 2, 3, 2, 2),
            layer((2, 2, 3, 2), nn.ConvTranspose3d, 2, 2, 3, 2, 1, 1, 2),
        ],
    ),
    Operator(
        "unfold, fold",
        [
            layer(IMAGE, nn.Unfold, 2),
            layer(IMAGE, nn.Unfold, (3, 2), padding=1, stride=2),
            layer((8, 30), nn.Fold, (7, 6), 2),
            layer((8, 12), nn.Fold, (8, 6), 2, stride=2),
        ],
    ),
]


LAYERS = {
    "pools": POOLS,
    "normalisations": NORMS,
    "activations": ACTIVATIONS,
    "convolutions": CONVOLUTIONS,
}
