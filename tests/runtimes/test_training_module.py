"""Our programs in ExecuTorch's own training API, which Android and C++ apps have: `TrainingModule`, SGD."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgetrain.artifacts.program import load_program
from edgetrain.runtimes import open_session

STEPS, LR, MOMENTUM = 5, 0.02, 0.9


@pytest.mark.filterwarnings("ignore:This API is experimental")
def test_it_trains_our_programs_as_torch_does(digits_program: Any) -> None:
    from executorch.extension.pybindings import _C
    from executorch.extension.training import TrainingModule, get_sgd_optimizer

    generator = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(8, 1, 8, 8, generator=generator), torch.randint(0, 10, (8,), generator=generator))
        for _ in range(STEPS)
    ]
    program = load_program(digits_program.program)
    session = open_session("torch", program, dropout=False)
    expected, reference = [], None
    for inputs, targets in batches:
        expected.append(session.forward_backward({"inputs": inputs}, {"targets": targets}).loss)
        if reference is None:
            reference = torch.optim.SGD(
                [torch.nn.Parameter(p) for p in session.parameters.values()], lr=LR, momentum=MOMENTUM
            )
        for parameter, gradient in zip(
            reference.param_groups[0]["params"], session.gradients.values(), strict=True
        ):
            parameter.grad = gradient
        reference.step()

    module = TrainingModule(_C._load_for_executorch(str(program.path), str(program.weights_path)))
    found, optimizer = [], None
    for inputs, targets in batches:
        loss, predictions, *_ = module.forward_backward("gradients", [inputs, targets])
        found.append(float(loss))
        assert predictions.shape == (8,)
        if optimizer is None:
            optimizer = get_sgd_optimizer(module.named_parameters(), LR, MOMENTUM, 0, 0, False)
        optimizer.step(module.named_gradients())
    assert found == pytest.approx(expected, rel=1e-5)
