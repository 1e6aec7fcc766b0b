"""Small models, one for each thing that rounding has to get right."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgetrain.artifacts.specs import TensorSpec
from edgetrain.artifacts.transforms import Observers

IMAGES = Observers(inputs={"x": TensorSpec(shape=(3, 8, 8))})


class Residual(nn.Module):
    """Norms of unusual eps and momentum, a shortcut, dropouts before a layer that is rounded, a layer that
    nobody calls, a constant; [B, 3, 8, 8] → [B, 4]."""

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8, eps=1e-2, momentum=0.3)
        self.second = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.second_norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout2d(dropout)
        self.drop_again = nn.Dropout(dropout)
        self.head = nn.Linear(8, 4)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = x + self.second_norm(self.second(x))
        return self.head(self.drop_again(self.drop(x).mean((2, 3)))) * 2.0


class Signals(nn.Module):
    """1-D and transposed convolutions, and norms behind linear layers and by themselves;
    [B, 3, 8, 8] → [B, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.alone = nn.BatchNorm2d(3)
        self.up = nn.ConvTranspose2d(3, 5, 2, stride=2)
        self.up_norm = nn.BatchNorm2d(5)
        self.row = nn.Conv1d(5, 6, 3, padding=1)
        self.row_norm = nn.BatchNorm1d(6)
        self.hidden = nn.Linear(6, 7)
        self.hidden_norm = nn.BatchNorm1d(7)
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.up_norm(self.up(self.alone(x))))
        x = torch.relu(self.row_norm(self.row(x.mean(2)))).mean(2)
        return self.head(torch.relu(self.hidden_norm(self.hidden(x))))


class Named(nn.Module):
    """Two inputs by name, in another order than the data's, and two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 6)
        self.head = nn.Linear(3, 6)

    def forward(self, *, image: Tensor, scalars: Tensor) -> dict[str, Tensor]:
        body = torch.relu(self.body(image))
        return {"logits": body + self.head(scalars), "features": body}


def seasoned(model: nn.Module, batch: int = 16) -> nn.Module:
    """The model, in training mode, with statistics and parameters of norms that are not the initial ones."""
    torch.manual_seed(0)
    model.train()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.weight.uniform_(-1, 2)
                module.bias.uniform_(-1, 1)
        for _ in range(5):
            model(images(batch))
    return model


def images(batch: int = 16) -> Tensor:
    return 3 * torch.randn(batch, 3, 8, 8) + 1


def sqnr(found: Tensor, expected: Tensor) -> float:
    """Signal to quantization noise [dB]."""
    return 20 * torch.log10(expected.norm() / (found - expected).norm()).item()


def switch_rounding(model: nn.Module, on: bool) -> None:
    """Leaves observers in, and values as they are."""
    for module in model.fake_quantizes():
        module.enable_fake_quant(on)
