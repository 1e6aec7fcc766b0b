"""Every operator that models are made of trains as in PyTorch, or is refused with its reason."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from lab import Lab, RefusedError
from operator_list import FAMILIES
from operator_losses import LOSSES, Loss, faults_of_losses
from operator_table import Operator, call, faults_of_uses
from torch import Tensor

OPERATORS = [operator for family in FAMILIES.values() for operator in family]
RIGHT = [operator for operator in OPERATORS if operator.refused is None]
REFUSED = [operator for operator in OPERATORS if operator.refused is not None]


@pytest.mark.slow
def test_some_operators_in_one_net(lab: Lab) -> None:
    """The last use of each, which is the oddest."""
    assert not faults_of_uses(lab, [operator.uses[-1] for operator in RIGHT if operator.daily])


@pytest.mark.slow
def test_some_losses_at_once(lab: Lab) -> None:
    assert not faults_of_losses(lab, [loss for loss in LOSSES if loss.daily])


@pytest.mark.thorough
@pytest.mark.parametrize("operator", RIGHT, ids=lambda operator: operator.name)
def test_an_operator(operator: Operator, lab: Lab) -> None:
    assert not faults_of_uses(lab, operator.uses, **operator.settings)


@pytest.mark.thorough
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_loss(loss: Loss, lab: Lab) -> None:
    if loss.refused is None:
        assert not faults_of_losses(lab, [loss])
    else:
        with pytest.raises(RefusedError, match=loss.refused):
            faults_of_losses(lab, [loss])


@pytest.mark.parametrize(
    "operator",
    [pytest.param(o, id=o.name, marks=[] if o.daily else [pytest.mark.thorough]) for o in REFUSED],
)
def test_a_refusal(operator: Operator, lab: Lab) -> None:
    """Each use of an operator is refused, by name and with a way out."""
    for use in operator.uses:
        with pytest.raises(RefusedError, match=operator.refused):
            faults_of_uses(lab, [use], **operator.settings)


def test_a_mistake_is_found(lab: Lab) -> None:
    """A program that computes something else than its model, by 1 in 1,000, in one of two uses."""

    def off(x: Tensor) -> Tensor:
        return torch.tanh(x) * (1.001 if torch.compiler.is_compiling() else 1.0)

    found = faults_of_uses(lab, [call((3,), torch.tanh), call((3,), off)])
    assert any("uses.1.front" in fault for fault in found)
    assert not any("gradients, uses.0.front" in fault for fault in found)


def test_names_are_distinct() -> None:
    names = [operator.name for operator in OPERATORS] + [loss.name for loss in LOSSES]
    assert len(set(names)) == len(names)
