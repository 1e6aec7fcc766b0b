"""The models that edgetrain is held to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

OWN, EXTRA = "fidelity_models:", "fidelity_extra:"


@dataclass(frozen=True)
class Entry:
    """A model and what it is checked with.

    Attributes:
        family: as people call it.
        model: as `edgetrain check` takes it.
        shape: of a sample, as for `--input-shape`.
        about: what of the family it is, where the name doesn't say.
        fast: small enough for the tests of every day.
        needs: the package that has it, where that is not a dependency of edgetrain.
        learning_rate: of the steps; None: the usual one.
    """

    family: str
    model: str
    shape: str
    args: dict[str, Any] = field(default_factory=dict)
    classes: int = 10
    task: str = "auto"
    about: str = ""
    fast: bool = False
    needs: Literal["timm", "transformers"] | None = None
    learning_rate: float | None = None

    @property
    def name(self) -> str:
        """In results, and as an id of tests."""
        return self.family.replace(" ", "-")


def _vision(family: str, size: int = 64, name: str | None = None, **args: Any) -> Entry:
    return Entry(family, f"torchvision:{name or family}", f"3,{size},{size}", args, about=name or "")


def _small(family: str, size: int, factory: str | None = None, *, classes: int = 10, **args: Any) -> Entry:
    model, about = OWN + (factory or family), "torchvision's classes, small"
    return Entry(family, model, f"3,{size},{size}", args, classes, about=about)


def _timm(name: str, size: int = 64, learning_rate: float | None = None, **args: Any) -> Entry:
    return Entry(
        f"timm {name}",
        EXTRA + "timm_model",
        f"3,{size},{size}",
        {"name": name, **args},
        about="smaller" if args else "",
        needs="timm",
        learning_rate=learning_rate,
    )


def _transformers(name: str, shape: str, classes: int = 10, task: str = "auto") -> Entry:
    model = EXTRA + "transformers_model"
    about = "two layers"
    return Entry(
        f"transformers {name}", model, shape, {"name": name}, classes, task, about, needs="transformers"
    )


MATRIX = [
    # torchvision's families
    _vision("alexnet"),
    _small("convnext", 32),
    _small("densenet", 32),
    _small("efficientnet", 32),
    _small("efficientnet_v2", 32),
    _vision("googlenet"),
    # Its own initial weights are for batch norm that trains: without, losses overflow.
    _vision("inception_v3", 75, init_weights=False),
    _small("maxvit", 32),
    _vision("mnasnet", 32, "mnasnet0_5"),
    _vision("mobilenet_v2", 32),
    _vision("mobilenet_v3", 32, "mobilenet_v3_small"),
    _small("regnet_x", 32, "regnet"),
    _small("regnet_y", 32, "regnet", squeeze=0.25),
    _vision("resnet", 32, "resnet18"),
    _small("resnext", 32),
    _small("shufflenet_v2", 32, "shufflenet"),
    _vision("squeezenet", 64, "squeezenet1_1"),
    _small("swin", 32),
    _small("swin_v2", 32, "swin", version=2),
    _small("vgg", 32),
    _small("vgg with batch norm", 32, "vgg", batch_norm=True),
    _small("vit", 32),
    _small("wide_resnet", 32),
    _small("lraspp_mobilenet_v3", 64, "lraspp", classes=4),
    _small("deeplabv3_mobilenet_v3", 64, "deeplabv3", classes=4),
    # sequences
    Entry("LSTM", OWN + "lstm", "100,12", about="two layers, both directions, 100 steps"),
    Entry("GRU", OWN + "gru", "100,12", about="two layers, both directions, 100 steps"),
    Entry("text encoder", OWN + "TextEncoder", "16:int64", about="embedding, padding mask"),
    Entry("causal transformer", "text_transformer", "16:int64", classes=40, task="next-token"),
    # others
    Entry("MLP-Mixer", OWN + "Mixer", "3,32,32"),
    Entry("U-Net", OWN + "UNet", "3,32,32", classes=4, about="bilinear upsampling"),
    Entry(
        "U-Net transposed", OWN + "UNet", "3,32,32", {"transposed": True}, 4, about="transposed convolutions"
    ),
    Entry("DS-CNN", OWN + "ds_cnn", "1,49,10", classes=12, about="keyword spotting", fast=True),
    Entry("conv autoencoder", OWN + "autoencoder", "1,16,16", classes=256, task="regression", fast=True),
    # only where their packages are installed
    # With more, PyTorch's own loss overflows.
    _timm("mobilenetv4_conv_small", learning_rate=1e-5),
    _timm("ghostnet_050"),
    _timm("efficientformer_l1", 224, depths=[1, 1, 1, 2], embed_dims=[16, 24, 32, 48]),
    _timm("edgenext_xx_small", depths=[1, 2, 2, 2], dims=[16, 24, 32, 48]),
    _timm("levit_128s", img_size=64, embed_dim=[32, 48, 64], depth=[1, 1, 1], num_heads=[2, 3, 4], key_dim=8),
    _timm("mobilevit_xxs"),
    _timm("convnext_atto", depths=[1, 1, 2, 1], dims=[16, 24, 32, 48]),
    _timm("vit_tiny_patch16_224", img_size=64, depth=2, embed_dim=48),
    _transformers("bert", "16:int64"),
    _transformers("distilbert", "16:int64"),
    _transformers("vit", "3,32,32"),
    _transformers("gpt2", "16:int64", 64, "next-token"),
]
BY_NAME = {entry.name: entry for entry in MATRIX}
