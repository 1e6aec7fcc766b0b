"""Losses, each of the outputs of a head of its own; their sum is what is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from lab import Lab, LossTask, subject_for
from torch import Tensor, nn
from torch.nn import functional as F

from edgetrain.artifacts.specs import INPUTS, InputSpec

CLASSES, FEATURES = 5, 6
Make = Callable[[Tensor, torch.Generator], Tensor]


def labels(output: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(0, CLASSES, (len(output), *output.shape[2:]), generator=generator)


def with_ignored(output: Tensor, generator: torch.Generator) -> Tensor:
    """Labels, of which every sample has one that counts."""
    found = labels(output, generator)
    found[:, 1:] = torch.where(torch.rand(found[:, 1:].shape, generator=generator) < 0.4, -100, found[:, 1:])
    return found


def numbers(output: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(output.shape, generator=generator)


def shares(output: Tensor, generator: torch.Generator) -> Tensor:
    """Between 0 and 1, of all classes 1 in sum."""
    return torch.randn(output.shape, generator=generator).softmax(1)


def signs(output: Tensor, generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(0, 2, output.shape, generator=generator) - 1


def sign_of_sample(output: Tensor, generator: torch.Generator) -> Tensor:
    return signs(output[:, 0], generator)


@dataclass(frozen=True)
class Loss:
    """A loss of outputs [B, *shape] and targets."""

    name: str
    function: Callable[[Tensor, Tensor], Tensor]
    targets: Make
    shape: tuple[int, ...] = (CLASSES,)
    refused: str | None = None
    daily: bool = False


def _halves(function: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of pairs, which outputs hold side by side."""
    return lambda y, t: function(y[:, :3], y[:, 3:], t)


WEIGHTS = torch.linspace(0.5, 1.5, CLASSES).tolist()


def _weights(like: Tensor) -> Tensor:
    return torch.tensor(WEIGHTS, dtype=like.dtype)


LOSSES = [
    Loss("cross_entropy", F.cross_entropy, labels),
    Loss("cross_entropy, class weights", lambda y, t: F.cross_entropy(y, t, _weights(y)), labels),
    Loss("cross_entropy, label smoothing", lambda y, t: F.cross_entropy(y, t, label_smoothing=0.1), labels),
    Loss(
        "cross_entropy, both",
        lambda y, t: F.cross_entropy(y, t, _weights(y), label_smoothing=0.1),
        labels,
    ),
    Loss("cross_entropy, ignore_index", F.cross_entropy, with_ignored, (CLASSES, 4)),
    Loss(
        "cross_entropy, all of these",
        lambda y, t: F.cross_entropy(y, t, _weights(y), label_smoothing=0.2),
        with_ignored,
        (CLASSES, 2, 3),
        daily=True,
    ),
    Loss("cross_entropy, shares", F.cross_entropy, shares),
    Loss("nll_loss", lambda y, t: F.nll_loss(y.log_softmax(1), t), labels),
    Loss("bce_with_logits", F.binary_cross_entropy_with_logits, shares),
    Loss(
        "bce_with_logits, weights",
        lambda y, t: F.binary_cross_entropy_with_logits(y, t, pos_weight=_weights(y)),
        shares,
    ),
    Loss("bce", lambda y, t: F.binary_cross_entropy(y.sigmoid(), t), shares),
    Loss("mse_loss", F.mse_loss, numbers),
    Loss("l1_loss", F.l1_loss, numbers),
    Loss("huber_loss", lambda y, t: F.huber_loss(y, t, delta=0.4), numbers, daily=True),
    Loss("smooth_l1_loss", lambda y, t: F.smooth_l1_loss(y, t, beta=0.7), numbers),
    Loss("kl_div", lambda y, t: F.kl_div(y.log_softmax(1), t, reduction="batchmean"), shares, daily=True),
    Loss("poisson_nll_loss", lambda y, t: F.poisson_nll_loss(y, t * t), numbers),
    Loss(
        "gaussian_nll_loss",
        lambda y, t: F.gaussian_nll_loss(y, t, torch.ones_like(y)),
        numbers,
        refused="gaussian_nll_loss",
    ),
    Loss("soft_margin_loss", F.soft_margin_loss, signs),
    Loss("hinge_embedding_loss", F.hinge_embedding_loss, signs),
    Loss("multi_margin_loss", F.multi_margin_loss, labels),
    Loss(
        "multilabel_soft_margin_loss",
        lambda y, t: F.multilabel_soft_margin_loss(y, (t > 0).to(y.dtype)),
        signs,
    ),
    Loss("cosine_embedding_loss", _halves(F.cosine_embedding_loss), sign_of_sample, (6,)),
    Loss("margin_ranking_loss", _halves(F.margin_ranking_loss), lambda y, g: signs(y[:, :3], g), (6,)),
    Loss(
        "triplet_margin_loss",
        lambda y, t: F.triplet_margin_loss(y[:, :2], y[:, 2:4], t[:, :2]),
        numbers,
    ),
    Loss("dice", lambda y, t: 1 - (2 * (y.sigmoid() * t).sum(1) / (y.sigmoid() + t).sum(1)).mean(), shares),
    Loss(
        "focal",
        lambda y, t: (
            (1 - y.softmax(1).gather(1, t[:, None])) ** 2 * F.cross_entropy(y, t, reduction="none")[:, None]
        ).mean(),
        labels,
    ),
]


class Heads(nn.Module):
    """[B, 6] → outputs of all losses, by number."""

    def __init__(self, losses: Sequence[Loss]) -> None:
        super().__init__()
        self.shapes = [loss.shape for loss in losses]
        self.heads = nn.ModuleList(nn.Linear(FEATURES, torch.Size(shape).numel()) for shape in self.shapes)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {
            f"output{i}": head(x).reshape(-1, *shape)
            for i, (head, shape) in enumerate(zip(self.heads, self.shapes, strict=True))
        }


def faults_of_losses(lab: Lab, losses: Sequence[Loss]) -> list[str]:
    """What is wrong with a net that some losses teach.

    Raises:
        RefusedError: it can't be exported.
    """

    def together(outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        pairs = zip(losses, outputs.values(), targets.values(), strict=True)
        return torch.stack([loss.function(output, target) for loss, output, target in pairs]).sum()

    def targets(outputs: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        pairs = zip(losses, outputs.values(), strict=True)
        return {f"target{i}": loss.targets(y, generator) for i, (loss, y) in enumerate(pairs)}

    task = LossTask(together, targets)
    return lab.faults(subject_for(lambda: Heads(losses), {INPUTS: InputSpec(shape=(FEATURES,))}, task))
