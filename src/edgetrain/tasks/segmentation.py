"""A class for every pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from ..artifacts.contract import Metric
from ..config.names import IGNORED_PIXEL
from .base import COUNT, LOSS
from .dense import DenseTask
from .labels import is_valid


class Segmentation(DenseTask):
    """Outputs float32 [B, K, H, W], targets int64 [B, H, W].

    Mean IoU: of each class, the pixels that are it and are predicted as it over those that are or are
    predicted as it, over the whole data set; the mean over the classes that occur.
    """

    name = "segmentation"
    class_dim, output_dims = 1, 4
    usual_ignored = IGNORED_PIXEL
    prediction = "mask"
    layout = "one label per pixel, [N, H, W]"
    metrics = (
        Metric(name="pixel_accuracy", top="correct", bottom=COUNT, better="higher", is_share=True),
        Metric(
            name="mean_iou",
            kind="mean_of_ratios",
            top="intersection",
            bottom="union",
            better="higher",
            is_share=True,
        ),
    )
    best = ("mean_iou", LOSS.name)

    def _sums(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        valid = is_valid(target, self.spec.ignore_index)
        right = self._right(output, target)
        wanted = target * valid.to(torch.int64)
        none = torch.full((output.shape[1],), 0.0, device=output.device)

        def per_class(labels: Tensor, weights: Tensor) -> Tensor:
            return none.scatter_add(0, labels.flatten(), weights.flatten())

        intersection = per_class(wanted, right)
        both = per_class(wanted, valid) + per_class(output.argmax(1), valid)
        return {"correct": right.sum(), "intersection": intersection, "union": both - intersection}
