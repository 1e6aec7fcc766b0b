"""Plans that keep the budget of `export.recompute`, as it is planned in the end."""

from __future__ import annotations

import re
from typing import Any

import export_models as models
import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.errors import UsageError
from edgetrain.export.batches import Batch
from edgetrain.export.pipeline import Lowered
from edgetrain.export.planning import plan_program, plan_step

SHAPE = (3, 12, 12)


class Wide(nn.Module):
    """Smooth layers over large images, then weights that are larger than anything else; [B, 3, 12, 12] →
    [B, 4]"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3 if i == 0 else 8, 8, 3, padding=1) for i in range(3))
        self.hidden = nn.Linear(8, width)
        self.square = nn.Linear(width, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = nn.functional.silu(layer(x))
        x = torch.tanh(self.hidden(x.mean((2, 3))))
        return self.head(torch.tanh(self.square(x)))


def plan(recompute: str, width: int, *, whole: bool = False, **settings: Any) -> Lowered:
    """A plan with Adam, which needs the gradients themselves and memory for its own results."""
    torch.manual_seed(0)
    settings = {"max_batch_size": 4, "recompute": recompute, **settings}
    subject = models.subject(Wide(width), SHAPE, optimizer={"name": "adam"}, **settings)
    example = Batch({INPUTS: torch.randn(3, *SHAPE)}, {TARGETS: torch.arange(3)})
    return (plan_program if whole else plan_step)(subject, example, None)


def activations(program: Lowered) -> int:
    return program.arena_bytes["train"][0]


def test_a_budget_is_that_of_the_final_plan() -> None:
    """What the optimizer is told lies in the arena, too; it is not there yet when recomputation is chosen."""
    allowed = activations(plan("none", 16)) - 1
    program = plan(f"budget:{allowed}", 16)
    assert activations(program) <= allowed
    assert program.edge.notes[0].startswith("train: backward makes ")
    assert not program.edge.notes[0].startswith("train: backward makes 0 operators")


def test_a_budget_out_of_reach_is_refused_with_the_real_figure() -> None:
    """The peak is where Adam updates the largest weight, which no recomputation lowers."""
    least = activations(plan("budget", 128))
    assert least > 4 * 128 * 128
    with pytest.raises(
        UsageError, match=re.escape(f"allows {least - 1:,} bytes") + f".*{least:,}.*--micro-batch"
    ):
        plan(f"budget:{least - 1}", 128)
    assert activations(plan(f"budget:{least}", 128)) <= least


def test_a_step_needs_what_the_whole_program_has_for_it() -> None:
    step, program = plan("none", 16), plan("none", 16, whole=True)
    assert step.arena_bytes["train"] == program.arena_bytes["train"]
    assert list(step.arena_bytes) == ["train", "weights"]
    assert {"gradients", "evaluate", "predict"} < set(program.arena_bytes)
