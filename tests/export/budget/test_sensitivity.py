"""What parts of a model promise to gain."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from export_models import command

from edgetrain.export.batches import Batch
from edgetrain.export.budget.options import layers_with_options
from edgetrain.export.budget.sensitivity import by_accuracy, by_gradient
from edgetrain.export.pipeline import Subject
from edgetrain.export.tuning import tuned_figure
from edgetrain.reporting import SILENT


def test_norms_of_gradients(subject: Subject, samples: Batch) -> None:
    model = subject.module
    layers = layers_with_options(model, samples.inputs, {name for name, _ in model.named_parameters()})
    gains = by_gradient(subject, layers, [samples])
    assert all(parameter.grad is None for parameter in model.parameters())
    loss = torch.nn.functional.cross_entropy(model(samples.inputs["inputs"]), samples.targets["targets"])
    gradients = dict(
        zip(dict(model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True)
    )
    whole = sum(float(gradient.square().sum()) for gradient in gradients.values())
    bias, quarter = gradients["2.bias"], gradients["2.weight"][:12]
    assert [option.rules[0].train for option in layers[1].options[1:4]] == ["bias", 0.125, 0.25]
    assert gains[1, 1] == pytest.approx(float(bias.square().sum()) / whole, rel=1e-4)
    assert gains[1, 3] == pytest.approx(
        float(bias[:12].square().sum() + quarter.square().sum()) / whole, rel=1e-4
    )
    assert (np.diff(gains[1, 2:6]) > 0).all()
    assert gains[:, 0].tolist() == [0.0] * 4
    assert sum(
        row[len(layer.options) - 1] for row, layer in zip(gains, layers, strict=True)
    ) == pytest.approx(1)


def test_gain_of_a_short_fine_tuning(subject: Subject, samples: Batch) -> None:
    settings = command({"lr": 0.1, "groups": {"0.*": 0.05}}, max_batch_size=8, update="budget:1MB")
    subject = replace(subject, config=settings)
    before = {name: tensor.clone() for name, tensor in subject.module.state_dict().items()}
    names = {name for name, _ in subject.module.named_parameters()}
    layers = layers_with_options(subject.module, samples.inputs, names)[1:]
    gains = by_accuracy(subject, layers, [samples], samples, SILENT)
    assert np.array_equal(gains, by_accuracy(subject, layers, [samples], samples, SILENT))
    assert (gains >= 0).all()
    assert gains[:, 0].tolist() == [0.0] * 3
    # The last layer, by itself and tuned here.
    metric = next(metric for metric in subject.task.all_metrics if metric.name == "accuracy")
    tuned = replace(
        subject, module=copy.deepcopy(subject.module), config=command({"lr": 0.1}, max_batch_size=8)
    )
    start = tuned_figure(tuned, samples, metric, steps=0)
    for name, parameter in tuned.module.named_parameters():
        parameter.requires_grad_(name.startswith("6."))
    gained = tuned_figure(tuned, samples, metric, steps=20) - start
    assert gained > 0
    whole = sum(row[len(layer.options) - 1] for row, layer in zip(gains, layers, strict=True))
    assert gains[2, len(layers[2].options) - 1] > 0.1 * whole
    assert all(torch.equal(before[name], tensor) for name, tensor in subject.module.state_dict().items())
