"""Convolutions over patch matrices: each against the operator it stands for, and whole programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import export_models as models
import pytest
import torch

from edgetrain.artifacts.manifest import load_manifest
from edgetrain.config.stages import ExportCommand
from edgetrain.export import export
from edgetrain.export.steps import im2col
from edgetrain.factories import Trusted

aten = torch.ops.aten
#: kernel, stride, padding, dilation, groups
SHAPES = [
    ([3, 3], [1, 1], [1, 1], [1, 1], 1),
    ([1, 1], [1, 1], [0, 0], [1, 1], 1),
    ([1, 1], [2, 2], [0, 0], [1, 1], 1),
    ([3, 3], [2, 2], [1, 1], [1, 1], 4),
    ([3, 2], [2, 3], [0, 2], [2, 1], 2),
    ([2, 5], [1, 2], [1, 4], [3, 1], 1),
    ([2, 2], [3, 3], [0, 0], [1, 1], 2),
    ([1, 1], [1, 1], [2, 1], [1, 1], 1),
]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation", "groups"), SHAPES)
def test_two_dimensions(
    batch: int, kernel: list[int], stride: list[int], padding: list[int], dilation: list[int], groups: int
) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(batch, 4, 9, 11).double(), torch.randn(8, 4 // groups, *kernel).double()
    check(x, weight, (stride, padding, dilation, False, [0, 0], groups))


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 2, 3, 2)])
def test_one_dimension(stride: int, padding: int, dilation: int, groups: int) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(2, 4, 19).double(), torch.randn(6, 4 // groups, 3).double()
    check(x, weight, ([stride], [padding], [dilation], False, [0], groups))


def check(x: torch.Tensor, weight: torch.Tensor, settings: tuple[Any, ...]) -> None:
    bias = torch.randn(weight.shape[0]).double()
    expected = aten.convolution(x, weight, bias, *settings)
    torch.testing.assert_close(im2col.convolution(x, weight, bias, *settings), expected)
    grad = torch.randn_like(expected)
    arguments = (grad, x, weight, [len(bias)], *settings)
    gradients = aten.convolution_backward(*arguments, [True, True, True])
    found = im2col.convolution_backward(*arguments, [True, True, True])
    for ours, wanted in zip(found, gradients, strict=True):
        torch.testing.assert_close(ours, wanted)
    if x.dim() == 4:
        assert im2col.convolution_backward(*arguments, [False, True, False])[::2] == (None, None)


def test_transposed_convolutions_are_left_alone() -> None:
    x, weight = torch.randn(1, 2, 4, 4), torch.randn(2, 3, 2, 2)
    settings = ([1, 1], [0, 0], [1, 1], True, [0, 0], 1)
    assert im2col.convolution(x, weight, None, *settings) is NotImplemented
    grad = torch.randn(1, 3, 5, 5)
    assert (
        im2col.convolution_backward(grad, x, weight, None, *settings, [True, True, False]) is NotImplemented
    )


@pytest.mark.parametrize("kind", [models.Signals, pytest.param(models.Pools, marks=pytest.mark.thorough)])
def test_whole_programs_without_a_convolution(tmp_path: Path, kind: Any) -> None:
    """1-D and strided, grouped, before and after pools; the export verifies every number."""
    checkpoint = models.write_checkpoint(tmp_path / "model.pth", kind)
    config = ExportCommand.model_validate({"export": {"convolutions": "im2col", "max_batch_size": 4}})
    result = export(config, checkpoint, tmp_path / "model", trusted=Trusted(models.factory_name(kind)))
    assert result.verification.gradients < 1e-4
    for method in load_manifest(result.manifest_path).contract.methods.values():
        assert not [name for name in method.operators if "convolution" in name]
