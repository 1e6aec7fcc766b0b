"""Equal data, and nothing else, has equal fingerprints."""

from __future__ import annotations

import pytest
import torch

from edgetrain.data.base import TensorSplit
from edgetrain.data.fingerprint import fingerprint

INPUTS = torch.arange(400.0).reshape(100, 4)
TARGETS = torch.arange(100) % 7


def test_equal_data_has_equal_fingerprints() -> None:
    assert fingerprint(TensorSplit.of(INPUTS, TARGETS)) == fingerprint(
        TensorSplit.of(INPUTS.clone(), TARGETS)
    )


def test_other_data_has_another() -> None:
    swapped = TARGETS.clone()
    swapped[[3, 4]] = swapped[[4, 3]]
    others = [
        TensorSplit({"x": INPUTS}, {"targets": TARGETS}),
        TensorSplit({"inputs": INPUTS}, {"y": TARGETS}),
        TensorSplit({"inputs": INPUTS, "more": INPUTS}, {"targets": TARGETS}),
        TensorSplit({"inputs": INPUTS}, {"targets": TARGETS, "more": TARGETS}),
        TensorSplit.of(INPUTS + 1e-3, TARGETS),
        TensorSplit.of(INPUTS.reshape(100, 2, 2), TARGETS),
        TensorSplit.of(INPUTS.to(torch.int64), TARGETS),
        TensorSplit.of(INPUTS[:99], TARGETS[:99]),
        TensorSplit.of(INPUTS, TARGETS.float()),
        TensorSplit.of(INPUTS, swapped),
    ]
    prints = [fingerprint(split) for split in [TensorSplit.of(INPUTS, TARGETS), *others]]
    assert len(set(prints)) == len(prints)


def test_few_samples() -> None:
    one, other = (TensorSplit.of(INPUTS[i : i + 1], TARGETS[:1]) for i in (0, 1))
    assert fingerprint(one) != fingerprint(other)


def test_the_size_of_the_pieces_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    split = TensorSplit.of(INPUTS, TARGETS)
    whole = fingerprint(split)
    monkeypatch.setattr("edgetrain.data.prepared._CHUNK_BYTES", 64)
    assert fingerprint(split) == whole
