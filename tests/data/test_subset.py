"""Held-out parts are even, exact in number, and leave something to train on."""

from __future__ import annotations

import pytest
import torch

from edgetrain.data.subset import hold_out


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_every_class_gives_its_share(fraction: float) -> None:
    targets = torch.tensor([0] * 30 + [1] * 50 + [2] * 7)
    train, test = hold_out(len(targets), targets, fraction, seed=0)
    assert sorted(torch.cat([train, test]).tolist()) == list(range(87))
    assert len(test) == -(-87 * fraction // 1)
    for label, count in enumerate([30, 50, 7]):
        assert abs(int((targets[test] == label).sum()) - count * fraction) < 1.01


def test_a_class_keeps_a_training_sample() -> None:
    targets = torch.tensor([0, 1, 1])
    train, test = hold_out(3, targets, 0.9, seed=0)
    assert sorted(targets[train].tolist()) == [0, 1]
    assert targets[test].tolist() == [1]


def test_samples_without_labels_are_split_at_random() -> None:
    train, test = hold_out(100, None, 0.25, seed=0)
    assert (len(train), len(test)) == (75, 25)
    assert test.tolist() != list(range(25))
    assert not torch.equal(test, hold_out(100, None, 0.25, seed=1)[1])
