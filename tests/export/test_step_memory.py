"""What a step of training takes: all the methods it runs, and what an optimizer outside keeps."""

from __future__ import annotations

from typing import Any

import export_models as models
import pytest
import torch
from torch import nn

from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.export.batches import Batch
from edgetrain.export.planning import plan_program
from edgetrain.export.step_memory import StepMemory, step_memory

WIDTH = 64
# Of the model below: two weights and two biases.
PARAMETERS = 4 * (8 * WIDTH + WIDTH + WIDTH * 4 + 4)


def memory(optimizer: dict[str, Any], **settings: Any) -> tuple[StepMemory, dict[str, list[int]]]:
    """With the planned bytes of all methods."""
    model = nn.Sequential(nn.Linear(8, WIDTH), nn.Tanh(), nn.Linear(WIDTH, 4))
    subject = models.subject(model, (8,), optimizer=optimizer, max_batch_size=4, **settings)
    size = min(3, subject.settings.planned_batch_size)
    example = Batch({INPUTS: torch.randn(size, 8)}, {TARGETS: torch.arange(size)})
    program = plan_program(subject, example, None)
    return step_memory(program, subject.config), program.arena_bytes


def test_one_method() -> None:
    found, arenas = memory({"momentum": 0.9}, update_in_graph="on")
    assert (found.weights, found.state) == (PARAMETERS, PARAMETERS)
    assert found.activations == arenas["train"][0]
    assert found.total == sum(arenas["train"])


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_step_behind_parts_of_a_batch_counts(name: str) -> None:
    """Of a sample at a time, Adam's update takes more than `train`."""
    found, arenas = memory({"name": name}, micro_batch=1, update_in_graph="on")
    states = {"sgd": 1, "adam": 2}[name]
    assert found.state == (states + 1) * PARAMETERS  # and the sum of gradients
    assert found.activations == max(arenas["train"][0], arenas["update"][0])
    assert found.total >= found.activations + found.weights + found.state
    assert (arenas["update"][0] > arenas["train"][0]) == (name == "adam")


@pytest.mark.parametrize(
    ("optimizer", "settings", "copies"),
    [
        ({"momentum": 0.0}, {}, 0),
        ({"momentum": 0.9}, {}, 1),
        ({"name": "adamw"}, {}, 2),
        ({"name": "adamw"}, {"micro_batch": 2}, 3),
    ],
)
def test_an_optimizer_outside_keeps_its_state_too(
    optimizer: dict[str, Any], settings: dict[str, Any], copies: int
) -> None:
    found, arenas = memory(optimizer, update_in_graph="off", **settings)
    assert found.state == copies * PARAMETERS
    assert found.total == sum(arenas["train"]) + found.state
