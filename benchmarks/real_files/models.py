"""Factories for `--model` where a package's own class needs more than arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def checkpoint(module: Any, name: str) -> Any:
    """A file inside a package, as the package itself loads it."""
    return torch.load(file_of(module, name), map_location="cpu", weights_only=False)


def file_of(module: Any, name: str) -> Path:
    """Where it lies."""
    return Path(module.__file__).parent / name


def pesto_encoder() -> nn.Module:
    """What comes behind pesto's transform of audio."""
    import pesto
    from pesto.model import Resnet1d

    encoder: nn.Module = Resnet1d(**checkpoint(pesto, "weights/mir-1k_g7.ckpt")["hparams"]["encoder"])
    return encoder


def fcpe() -> nn.Module:
    """torchfcpe's model of its own settings."""
    import torchfcpe
    from torchfcpe.models_infer import DotDict, spawn_model

    model: nn.Module = spawn_model(DotDict(checkpoint(torchfcpe, "assets/fcpe_c_v001.pt")["config_dict"]))
    return model


def batdetect2() -> nn.Module:
    """batdetect2's model of its own settings."""
    from batdetect2.utils.detector_utils import load_model

    model: nn.Module = load_model(load_weights=False, device=torch.device("cpu"))[0]
    return model


class Features(nn.Module):
    """attacut's model as a function of characters and syllables, [B, 2, length] int64: it doesn't read the
    lengths that it takes beside them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """A logit for each character, [B · length]."""
        logits: Tensor = self.model((features, None))
        return logits


def attacut() -> nn.Module:
    """attacut's model of its own settings."""
    from attacut import artifacts, models, utils

    folder = artifacts.get_path("attacut-sc")
    settings = utils.load_training_params(folder)
    kind = models.get_model(settings.name)
    return Features(kind(kind.dataset().setup_featurizer(folder), settings.params))


def anarcii() -> nn.Module:
    """anarcii's model that tells antibodies from T cell receptors, of its own settings."""
    from anarcii.classifii import TypeLoader

    model: nn.Module = TypeLoader("cpu").model
    # It comes with its weights, but those that are compared shall be convert's.
    for weight in model.parameters():
        nn.init.zeros_(weight)
    return model


def beatnet() -> nn.Module:
    """BeatNet's model, which keeps its state in attributes, as a function of that state."""
    from BeatNet.model import BDA

    class Step(BDA):  # type: ignore[misc, unused-ignore]
        def forward(self, data: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            self.hidden, self.cell = hidden, cell
            found = super().forward(data), self.hidden, self.cell
            # Else what is traced would stay behind.
            self.hidden = self.cell = None
            return found

    return Step(272, 150, 2, "cpu")


class G2pM(nn.Module):
    """What g2pM computes with numpy alone: of characters, [B, length], a score for each pronunciation."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5398, 64)
        self.lstm = nn.LSTM(64, 32, batch_first=True, bidirectional=True)
        self.logit_layer = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 876))

    def forward(self, characters: Tensor) -> Tensor:
        scores: Tensor = self.logit_layer(self.lstm(self.embedding(characters))[0])
        return scores


def cdpam() -> nn.Module:
    """cdpam's distance of two sounds, which its own code computes outside of a module."""
    from cdpam.models import FINnet
    from torch.nn.functional import normalize

    class Distance(FINnet):  # type: ignore[misc, unused-ignore]
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            acoustics = [self.base_encoder(sound.unsqueeze(1))[1] for sound in (first, second)]
            distance: Tensor = self.model_dist(*(normalize(found, dim=1) for found in acoustics))
            return distance

    return Distance(encoder_layers=16, encoder_filters=64, ndim=[16, 6], classif_dp=0.05, input_size=512)
