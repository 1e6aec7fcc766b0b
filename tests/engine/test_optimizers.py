import pytest
import torch
from torch import nn

from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.engine.optimizers import make_optimizer, set_learning_rate
from edgetrain.errors import UsageError


def test_sgd_follows_the_config() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    config = OptimizerConfig(name="sgd", lr=0.1, momentum=0.5, weight_decay=0.2, nesterov=True)
    optimizer = make_optimizer(config, [parameter])
    expected, velocity = 1.0, 0.0
    for gradient in (1.0, -2.0, 0.5):
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        decayed = gradient + 0.2 * expected
        velocity = 0.5 * velocity + decayed
        expected -= 0.1 * (decayed + 0.5 * velocity)
    assert parameter.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_follows_the_config(name: str, kind: type) -> None:
    config = OptimizerConfig(name=name, lr=0.3, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.1)
    optimizer = make_optimizer(config, [nn.Parameter(torch.ones(2))])
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (0.3, (0.8, 0.9), 1e-3, 0.1)


def test_frozen_parameters_are_left_out() -> None:
    frozen, free = nn.Parameter(torch.ones(1), requires_grad=False), nn.Parameter(torch.ones(1))
    assert make_optimizer(OptimizerConfig(), [frozen, free]).param_groups[0]["params"] == [free]
    with pytest.raises(UsageError, match="no trainable parameters"):
        make_optimizer(OptimizerConfig(), [frozen])


def test_set_learning_rate() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = make_optimizer(OptimizerConfig(momentum=0), [parameter])
    set_learning_rate(optimizer, 0.25)
    parameter.grad = torch.tensor([1.0])
    optimizer.step()
    assert parameter.item() == 0.75
