"""Models of the matrix that neither edgetrain nor torchvision has by name.

Some are torchvision's own classes at a small size: the blocks and operators of a family whose smallest member
would take many minutes to export and compare.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgetrain.vision import import_torchvision

models = import_torchvision().models


def convnext(num_classes: int = 10) -> nn.Module:
    setting = models.convnext.CNBlockConfig
    blocks = [setting(16, 32, 1), setting(32, 48, 2), setting(48, None, 1)]
    return models.ConvNeXt(blocks, stochastic_depth_prob=0.1, num_classes=num_classes)


def densenet(num_classes: int = 10) -> nn.Module:
    return models.DenseNet(8, (2, 3, 2), 16, num_classes=num_classes)


def efficientnet(num_classes: int = 10) -> nn.Module:
    plain = models.efficientnet.MBConvConfig
    blocks = [plain(1, 3, 1, 8, 8, 1), plain(6, 3, 2, 8, 12, 2), plain(6, 5, 2, 12, 16, 2)]
    return models.EfficientNet(blocks, 0.2, last_channel=64, num_classes=num_classes)


def efficientnet_v2(num_classes: int = 10) -> nn.Module:
    fused, plain = models.efficientnet.FusedMBConvConfig, models.efficientnet.MBConvConfig
    blocks = [fused(1, 3, 1, 8, 8, 1), fused(4, 3, 2, 8, 16, 2), plain(4, 3, 2, 16, 24, 2)]
    norm = functools.partial(nn.BatchNorm2d, eps=1e-3)
    return models.EfficientNet(blocks, 0.2, last_channel=64, norm_layer=norm, num_classes=num_classes)


def maxvit(num_classes: int = 10) -> nn.Module:
    return models.MaxVit(
        input_size=(32, 32),
        stem_channels=8,
        partition_size=2,
        block_channels=[16, 32],
        block_layers=[1, 2],
        head_dim=8,
        stochastic_depth_prob=0.1,
        num_classes=num_classes,
    )


def _segmenting_backbone(**named: str) -> nn.Module:
    """MobileNetV3's blocks, of which the last one is dilated. Outputs are called `first`, of 16 channels, and
    `last`, of 24."""
    block = functools.partial(models.mobilenetv3.InvertedResidualConfig, width_mult=1.0)
    blocks = [
        block(8, 3, 16, 16, False, "RE", 2, 1),
        block(16, 3, 48, 24, True, "HS", 2, 1),
        block(24, 5, 64, 24, True, "HS", 2, 2),
    ]
    features = models.MobileNetV3(blocks, last_channel=64).features
    layers = {"1": named.get("first"), "3": named["last"]}
    return models._utils.IntermediateLayerGetter(features, {k: v for k, v in layers.items() if v})


def lraspp(num_classes: int = 4) -> nn.Module:
    return models.segmentation.LRASPP(_segmenting_backbone(first="low", last="high"), 16, 24, num_classes, 16)


def deeplabv3(num_classes: int = 4) -> nn.Module:
    deeplab = models.segmentation.deeplabv3
    head = deeplab.DeepLabHead(24, num_classes, [2, 4, 6])
    return deeplab.DeepLabV3(_segmenting_backbone(last="out"), head)


def regnet(num_classes: int = 10, squeeze: float | None = None) -> nn.Module:
    """X, or with squeeze and excitation Y."""
    stages = models.regnet.BlockParams(
        [1, 2, 1], [16, 32, 48], [8, 8, 8], [1.0, 1.0, 1.0], [2, 2, 2], squeeze
    )
    return models.RegNet(stages, num_classes=num_classes, stem_width=8)


def shufflenet(num_classes: int = 10) -> nn.Module:
    return models.ShuffleNetV2([2, 3, 2], [12, 24, 32, 48, 64], num_classes=num_classes)


def resnext(num_classes: int = 10) -> nn.Module:
    block = models.resnet.Bottleneck
    return models.ResNet(block, [1, 1, 1, 1], num_classes=num_classes, groups=32, width_per_group=4)


def wide_resnet(num_classes: int = 10) -> nn.Module:
    block = models.resnet.Bottleneck
    return models.ResNet(block, [1, 1, 1, 1], num_classes=num_classes, width_per_group=128)


def swin(num_classes: int = 10, version: int = 1) -> nn.Module:
    layers = {
        1: {},
        2: {
            "block": models.swin_transformer.SwinTransformerBlockV2,
            "downsample_layer": models.swin_transformer.PatchMergingV2,
        },
    }[version]
    return models.SwinTransformer(
        patch_size=[4, 4],
        embed_dim=24,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=[4, 4],
        stochastic_depth_prob=0.1,
        num_classes=num_classes,
        **layers,
    )


def vgg(num_classes: int = 10, batch_norm: bool = False) -> nn.Module:
    layers = models.vgg.make_layers([16, "M", 32, "M", 64, 64, "M", 64, "M"], batch_norm)
    model = models.VGG(layers, num_classes=num_classes)
    model.classifier = nn.Sequential(
        nn.Linear(64 * 49, 128), nn.ReLU(True), nn.Dropout(), nn.Linear(128, num_classes)
    )
    return model


def vit(num_classes: int = 10) -> nn.Module:
    return models.VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=2,
        num_heads=4,
        hidden_dim=48,
        mlp_dim=96,
        dropout=0.1,
        num_classes=num_classes,
    )


class _Recurrent(nn.Module):
    """[B, T, 12] → classes, from the mean over time."""

    def __init__(self, kind: type[nn.RNNBase], num_classes: int) -> None:
        super().__init__()
        self.layers = kind(12, 24, num_layers=2, bidirectional=True, batch_first=True, dropout=0.2)
        self.head = nn.Linear(48, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x)[0].mean(1))


def lstm(num_classes: int = 10) -> nn.Module:
    return _Recurrent(nn.LSTM, num_classes)


def gru(num_classes: int = 10) -> nn.Module:
    return _Recurrent(nn.GRU, num_classes)


class TextEncoder(nn.Module):
    """[B, T] ids → classes; the id 0 is padding, which attention and the mean leave out."""

    def __init__(
        self, num_classes: int = 10, vocabulary: int = 40, width: int = 32, length: int = 16
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=0)
        self.positions = nn.Parameter(0.02 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, 0.1, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, num_classes)

    def forward(self, ids: Tensor) -> Tensor:
        # The first token is always one.
        padding = (ids == 0) & (torch.arange(ids.shape[1]) > 0)
        x = self.layers(self.tokens(ids) + self.positions, src_key_padding_mask=padding)
        kept = (~padding).to(x.dtype).unsqueeze(-1)
        return self.head((x * kept).sum(1) / kept.sum(1))


class _MixerBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, 32), nn.GELU(), nn.Linear(32, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 96), nn.GELU(), nn.Linear(96, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.first(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.second(x))


class Mixer(nn.Module):
    """MLP-Mixer on [B, 3, 32, 32]."""

    def __init__(self, num_classes: int = 10, width: int = 48) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 8, 8)
        self.blocks = nn.Sequential(*(_MixerBlock(16, width) for _ in range(2)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1))


def _twice(before: int, after: int) -> nn.Sequential:
    layers: list[Any] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(True)]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Classes for every pixel of [B, 3, 32, 32]; upsampled bilinearly, or by transposed convolutions."""

    def __init__(self, num_classes: int = 4, transposed: bool = False) -> None:
        super().__init__()
        self.down = nn.ModuleList([_twice(3, 8), _twice(8, 16), _twice(16, 32)])
        self.enlarge = nn.ModuleList(
            nn.ConvTranspose2d(c, c, 2, 2) if transposed else nn.Upsample(scale_factor=2, mode="bilinear")
            for c in (32, 16)
        )
        self.up = nn.ModuleList([_twice(48, 16), _twice(24, 8)])
        self.head = nn.Conv2d(8, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for i, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if i else x)
            kept.append(x)
        for enlarge, block, skipped in zip(self.enlarge, self.up, reversed(kept[:-1]), strict=True):
            x = block(torch.cat([enlarge(x), skipped], 1))
        return self.head(x)


def ds_cnn(num_classes: int = 12) -> nn.Module:
    """Keyword spotting on [B, 1, 49, 10]: MFCC features over time."""

    def separable() -> list[nn.Module]:
        depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        return [depthwise, nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.BatchNorm2d(32), nn.ReLU()]

    first = [nn.Conv2d(1, 32, (10, 4), (2, 2), (5, 1)), nn.BatchNorm2d(32), nn.ReLU(), nn.Dropout(0.2)]
    blocks = [layer for _ in range(3) for layer in separable()]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, num_classes)]
    return nn.Sequential(*first, *blocks, *last)


def autoencoder(num_classes: int = 1) -> nn.Module:
    """[B, 1, 16, 16] again, flattened."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()),
        *(nn.ConvTranspose2d(16, 8, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Sigmoid()),
        nn.Flatten(),
    )
