"""Random nets train as in PyTorch. A net that doesn't is made as small as possible, and printed as code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, seed, settings

sys.path.insert(0, str(Path(__file__).parent))

from lab import Lab, subject_for
from random_nets import Plan, make_net, plans

from edgetrain.artifacts.specs import INPUTS, InputSpec

# Of the thorough tests; each process takes parts of its own.
PARTS, NETS_IN_PART = 20, 15


# One that was wrong: running statistics changed once where they change twice.
UNREAD_BATCH_NORM = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Linear(72, 3)

    def forward(self, x):
        self.norm(x)
        return self.head(self.norm(x).flatten(1))
"""


def check_nets(lab: Lab, number: int, start: int) -> None:
    """Draws nets from a seed and holds each against PyTorch."""

    @seed(start)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(plans())
    def nets_are_right(plan: Plan) -> None:
        code = plan.code()
        note(f"inputs [B, {', '.join(map(str, plan.shape))}], {plan.settings}\n{code}")
        subject = subject_for(lambda: make_net(code), {INPUTS: InputSpec(shape=plan.shape)}, **plan.settings)
        assert not lab.faults(subject)

    nets_are_right()


@pytest.mark.slow
def test_a_net_that_was_wrong(lab: Lab) -> None:
    inputs = {INPUTS: InputSpec(shape=(2, 6, 6))}
    assert not lab.faults(subject_for(lambda: make_net(UNREAD_BATCH_NORM), inputs, batch_norm="train"))


@pytest.mark.slow
def test_a_few_random_nets(lab: Lab) -> None:
    check_nets(lab, 8, start=1000)


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(PARTS))
def test_random_nets(part: int, lab: Lab) -> None:
    check_nets(lab, NETS_IN_PART, start=part)
