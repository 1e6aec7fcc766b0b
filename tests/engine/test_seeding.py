import random

import numpy as np
import torch

from edgetrain.engine.seeding import get_random_state, seed_everything, set_random_state


def draw() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()


def test_same_seed_same_numbers() -> None:
    seed_everything(3)
    first = draw()
    assert draw() != first
    seed_everything(3)
    assert draw() == first


def test_state_is_put_back() -> None:
    state = get_random_state()
    first = torch.rand(5)
    torch.rand(7)
    set_random_state(state)
    assert torch.equal(torch.rand(5), first)
