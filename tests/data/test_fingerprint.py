from __future__ import annotations

import torch

from edgetrain.data.base import TensorSplit
from edgetrain.data.fingerprint import fingerprint

INPUTS = torch.arange(400.0).reshape(100, 4)
TARGETS = torch.arange(100) % 7


def test_equal_data_has_equal_fingerprints() -> None:
    assert fingerprint(TensorSplit(INPUTS, TARGETS)) == fingerprint(TensorSplit(INPUTS.clone(), TARGETS))


def test_other_data_has_another() -> None:
    swapped = TARGETS.clone()
    swapped[[3, 4]] = swapped[[4, 3]]
    others = [
        TensorSplit(INPUTS + 1e-3, TARGETS),
        TensorSplit(INPUTS.reshape(100, 2, 2), TARGETS),
        TensorSplit(INPUTS.to(torch.int64), TARGETS),
        TensorSplit(INPUTS[:99], TARGETS[:99]),
        TensorSplit(INPUTS, TARGETS.float()),
        TensorSplit(INPUTS, swapped),
    ]
    prints = [fingerprint(split) for split in [TensorSplit(INPUTS, TARGETS), *others]]
    assert len(set(prints)) == len(prints)


def test_few_samples() -> None:
    one, other = (TensorSplit(INPUTS[i : i + 1], TARGETS[:1]) for i in (0, 1))
    assert fingerprint(one) != fingerprint(other)
