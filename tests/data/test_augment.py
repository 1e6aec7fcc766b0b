"""Mirroring and moving, on patterns one can follow by eye."""

from __future__ import annotations

import torch

from edgetrain.data.augment import Augmentation, AugmentationDraw, draw_augmentation, move_images
from edgetrain.data.seeds import generator_for

PATTERN = torch.tensor([[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]], dtype=torch.uint8)


def apply(mirrored: bool, row: int, column: int, padding: int = 1) -> list[list[int]]:
    draw = AugmentationDraw(torch.tensor([mirrored]), torch.tensor([[row, column]]))
    return move_images(PATTERN, padding, draw)[0, 0].tolist()


def test_moves_and_mirrors() -> None:
    assert apply(False, 1, 1) == PATTERN[0, 0].tolist()
    assert apply(False, 0, 1) == [[0, 0, 0], [1, 2, 3], [4, 5, 6]]
    assert apply(False, 1, 2) == [[2, 3, 0], [5, 6, 0], [8, 9, 0]]
    assert apply(True, 1, 1) == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
    assert apply(True, 1, 2) == [[0, 3, 2], [0, 6, 5], [0, 9, 8]]


def test_labels_move_alike_and_what_comes_in_is_ignored() -> None:
    draw = AugmentationDraw(torch.tensor([True]), torch.tensor([[1, 2]]))
    labels = PATTERN[:, 0].to(torch.int64)
    moved = move_images(labels, 1, draw, fill=255)
    assert moved.dtype == torch.int64
    assert moved[0].tolist() == [[255, 3, 2], [255, 6, 5], [255, 9, 8]]


def test_draws_cover_all_choices_and_only_those_allowed() -> None:
    draw = draw_augmentation(Augmentation(True, 2), 2000, generator_for(0))
    assert 800 < int(draw.mirrored.sum()) < 1200
    assert sorted(draw.offsets.unique().tolist()) == [0, 1, 2, 3, 4]
    still = draw_augmentation(Augmentation(False, 0), 100, generator_for(0))
    assert not still.mirrored.any()
    assert not still.offsets.any()


def test_is_false_where_it_does_nothing() -> None:
    assert not Augmentation()
    assert Augmentation(flip=True)
    assert Augmentation(crop_padding=1)


def test_what_comes_into_masks_is_what_the_task_ignores() -> None:
    usual = Augmentation(True, 1, ("image",), {"mask": 255, "other": 255})
    assert usual.ignoring(7) == Augmentation(True, 1, ("image",), {"mask": 7, "other": 7})
    assert usual.ignoring(None) == usual
