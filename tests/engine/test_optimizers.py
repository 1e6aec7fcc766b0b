from typing import Any

import pytest
import torch
from torch import nn

from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.engine.optimizers import (
    Moments,
    check_groups,
    clip_gradients,
    hyperparameters,
    make_optimizer,
    moments_of,
    restore_moments,
    set_learning_rate,
)
from edgetrain.errors import UsageError


def _parameters(*names: str) -> dict[str, nn.Parameter]:
    return {name: nn.Parameter(torch.ones(2)) for name in names}


def test_sgd_follows_the_config() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    config = OptimizerConfig(name="sgd", lr=0.1, momentum=0.5, weight_decay=0.2, nesterov=True)
    optimizer = make_optimizer(config, [("w", parameter)])
    expected, velocity = 1.0, 0.0
    for gradient in (1.0, -2.0, 0.5):
        parameter.grad = torch.tensor([gradient])
        optimizer.step()
        decayed = gradient + 0.2 * expected
        velocity = 0.5 * velocity + decayed
        expected -= 0.1 * (decayed + 0.5 * velocity)
    assert parameter.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_follows_the_config(name: Any, kind: type) -> None:
    config = OptimizerConfig(name=name, lr=0.3, beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.1)
    optimizer = make_optimizer(config, _parameters("w").items())
    assert type(optimizer) is kind
    group = optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (0.3, (0.8, 0.9), 1e-3, 0.1)


def test_frozen_parameters_are_left_out() -> None:
    frozen, free = nn.Parameter(torch.ones(1), requires_grad=False), nn.Parameter(torch.ones(1))
    named = [("frozen", frozen), ("free", free)]
    assert make_optimizer(OptimizerConfig(), named).param_groups[0]["params"] == [free]
    with pytest.raises(UsageError, match="no trainable parameters"):
        make_optimizer(OptimizerConfig(), named[:1])
    with pytest.raises(UsageError, match=r"--group fro\* fits no trainable parameter; there are free"):
        make_optimizer(OptimizerConfig(groups={"fro*": 0.1}), named)


def test_set_learning_rate() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = make_optimizer(OptimizerConfig(momentum=0), [("w", parameter)])
    set_learning_rate(optimizer, 0.25)
    parameter.grad = torch.tensor([1.0])
    optimizer.step()
    assert parameter.item() == 0.75


def test_groups_have_rates_of_their_own_and_a_schedule_scales_all() -> None:
    """The first pattern that fits counts."""
    parameters = _parameters("body.0.weight", "body.0.bias", "head.weight", "head.bias")
    config = OptimizerConfig(lr=0.1, momentum=0, groups={"*.bias": 0.0, "head.*": 0.4})
    optimizer = make_optimizer(config, parameters.items())
    set_learning_rate(optimizer, 0.05)
    for parameter in parameters.values():
        parameter.grad = torch.ones(2)
    optimizer.step()
    found = {name: parameter[0].item() for name, parameter in parameters.items()}
    assert found == pytest.approx(
        {"body.0.weight": 0.95, "body.0.bias": 1.0, "head.weight": 0.8, "head.bias": 1.0}
    )


def test_a_pattern_has_to_fit_something() -> None:
    config = OptimizerConfig(groups={"*": 0.1, "Head.*": 0.2})
    with pytest.raises(UsageError, match=r"--group Head\.\* fits no .* there are a, b, c, d, e, \.\.\.$"):
        check_groups(config, [*"abcdef"])
    check_groups(config, ["Head.weight"])


def test_clipping_is_torchs() -> None:
    parameters = _parameters("a", "b")
    parameters["a"].grad, parameters["b"].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0])
    assert clip_gradients(OptimizerConfig(), parameters.values()) is None
    assert parameters["a"].grad.tolist() == [3.0, 0.0]
    norm = clip_gradients(OptimizerConfig(clip_norm=1.0), parameters.values())
    assert norm is not None
    assert norm.item() == pytest.approx(5)
    assert parameters["b"].grad.tolist() == pytest.approx([0.0, 0.8], rel=1e-5)
    clip_gradients(OptimizerConfig(clip_norm=10.0), parameters.values())
    assert parameters["b"].grad.tolist() == pytest.approx([0.0, 0.8], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "buffers"),
    [
        ({"name": "sgd", "momentum": 0.0}, (0, 0)),
        ({"name": "sgd", "momentum": 0.9, "dampening": 0.5}, (2, 0)),
        ({"name": "adam"}, (2, 2)),
        ({"name": "adamw", "weight_decay": 0.1, "groups": {"b": 0.5}}, (2, 2)),
    ],
)
def test_an_optimizer_goes_on_from_its_moments(settings: dict[str, Any], buffers: tuple[int, int]) -> None:
    config = OptimizerConfig.model_validate(settings)

    def steps(parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            for name, parameter in parameters.items():
                parameter.grad = torch.tensor([number + 0.5, -ord(name) / 100])
            optimizer.step()

    whole = _parameters("a", "b")
    steps(whole, make_optimizer(config, whole.items()), range(5))
    parts = _parameters("a", "b")
    first = make_optimizer(config, parts.items())
    steps(parts, first, range(2))
    moments = moments_of(config, first, parts, 2)
    assert (len(moments.first), len(moments.second)) == buffers
    second = make_optimizer(config, parts.items())
    restore_moments(config, second, parts, moments)
    steps(parts, second, range(2, 5))
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


def test_nothing_is_learned_before_the_first_step() -> None:
    config, parameters = OptimizerConfig(), _parameters("a")
    optimizer = make_optimizer(config, parameters.items())
    restore_moments(config, optimizer, parameters, Moments())
    assert moments_of(config, optimizer, parameters, 0) == Moments()


def test_what_changes_from_step_to_step() -> None:
    def told(step: int, **settings: Any) -> dict[str, float]:
        return hyperparameters(OptimizerConfig.model_validate(settings), step, 0.1)

    assert told(1) == told(2, momentum=0, dampening=0.5) == {"learning_rate": 0.1}
    assert told(1, dampening=0.25) == {"learning_rate": 0.1, "gradient_share": 1.0}
    assert told(2, dampening=0.25) == {"learning_rate": 0.1, "gradient_share": 0.75}
    assert told(2, name="adam", beta1=0.5, beta2=0.75) == {
        "learning_rate": 0.1,
        "bias_correction1": 0.75,
        "bias_correction2": 1 - 0.75**2,
    }
