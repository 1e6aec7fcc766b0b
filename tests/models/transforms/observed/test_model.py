"""Models with observers: a module like the one they are made of, that rounds as its int8 program will."""

from __future__ import annotations

import copy
import io

import observed_models as models
import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.specs import TensorSpec
from edgetrain.artifacts.transforms import KeptZeros, Observers
from edgetrain.engine.modes import set_training_mode
from edgetrain.errors import UsageError
from edgetrain.models.calling import call_model
from edgetrain.models.transforms import apply_transforms
from edgetrain.models.transforms.observed.model import ObservedModel, int8_module
from edgetrain.models.transforms.observers import observe, strip_observers, without_observers


@pytest.fixture
def observed() -> ObservedModel:
    model = observe(models.seasoned(models.Residual()), models.IMAGES)
    model.calibrate({"x": models.images()})
    return model


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int) -> None:
    model.train()
    torch.manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(models.images()).square().mean().backward()
        optimizer.step()


def momentum(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)


def saved(state: object) -> dict[str, Tensor]:
    """Written and read without pickled code."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert list(first) == list(second)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_rounds_little_and_keeps_names(observed: ObservedModel) -> None:
    plain = models.Residual()
    names = list(plain.state_dict())
    assert [name for name in observed.state_dict() if not name.startswith("observers.")] == names
    plain.load_state_dict(strip_observers(observed.state_dict()))
    x = models.images()
    found = models.sqnr(observed.eval()(x), plain.eval()(x))
    assert 20 < found < 60


def test_int8_is_what_evaluation_computes(observed: ObservedModel) -> None:
    train(observed, momentum(observed), 5, seed=1)
    observed.eval()
    before = copy.deepcopy(observed.state_dict())
    int8 = int8_module(observed)
    for batch in (1, 7):
        x = models.images(batch)
        assert torch.equal(int8(x), observed(x))
    same(observed.state_dict(), before)
    weights = [t for t in int8.state_dict().values() if t.dtype == torch.int8]
    assert sorted(t.numel() for t in weights if t.numel() > 1) == [32, 72, 216]


def test_a_norm_that_stands_alone_is_a_scale_in_int8() -> None:
    observed = observe(models.seasoned(models.Signals()), models.IMAGES)
    observed.calibrate({"x": models.images()})
    observed.eval()
    x = models.images()
    assert models.sqnr(int8_module(observed)(x), observed(x)) > 60


def test_replayed_and_loaded_is_the_same(observed: ObservedModel) -> None:
    train(observed, momentum(observed), 3, seed=1)
    replayed = apply_transforms(models.Residual(), [observed.record])
    replayed.load_state_dict(saved(observed.state_dict()))
    x = models.images()
    assert torch.equal(replayed.eval()(x), observed.eval()(x))


def test_resumes_exactly(observed: ObservedModel) -> None:
    """Through evaluation, freezing and a file: the same weights as without a break."""
    optimizer = momentum(observed)
    train(observed, optimizer, 3, seed=1)
    observed.freeze(norms=True)
    other = observe(models.Residual(), observed.record)
    other.load_state_dict(saved(observed.state_dict()))
    other_optimizer = momentum(other)
    other_optimizer.load_state_dict(saved(optimizer.state_dict()))
    other.eval()(models.images())
    for model, its in ((observed, optimizer), (other, other_optimizer)):
        train(model, its, 3, seed=2)
        model.freeze(ranges=True)
        train(model, its, 3, seed=3)
    same(other.state_dict(), observed.state_dict())


def test_deep_copies_are_independent(observed: ObservedModel) -> None:
    before = copy.deepcopy(observed.state_dict())
    copied = copy.deepcopy(observed)
    x = models.images()
    assert torch.equal(copied.eval()(x), observed.eval()(x))
    same(copied.state_dict(), before)
    train(copied, momentum(copied), 2, seed=1)
    same(observed.state_dict(), before)


def test_evaluation_changes_nothing(observed: ObservedModel) -> None:
    before = copy.deepcopy(observed.state_dict())
    observed.eval()
    first, again = (observed(100 * models.images(4).fill_(1.0)) for _ in range(2))
    assert torch.equal(first, again)  # no dropout
    same(observed.state_dict(), before)


def test_training_follows_ranges_and_statistics(observed: ObservedModel) -> None:
    before = copy.deepcopy(observed.state_dict())
    observed.train()
    x = 100 * models.images()
    assert not torch.equal(observed(x), observed(x))  # dropout
    changed = {name for name, t in observed.state_dict().items() if not torch.equal(t, before[name])}
    assert {"norm.running_mean", "second_norm.running_var"} <= changed
    assert any(name.startswith("observers.") and name.endswith("scale") for name in changed)


def test_frozen_stays_frozen(observed: ObservedModel) -> None:
    observed.freeze(norms=True, ranges=True)
    before = copy.deepcopy(observed.state_dict())
    observed.eval()
    observed.train()(100 * models.images())
    same(observed.state_dict(), before)


def test_batch_norm_frozen_for_the_run(observed: ObservedModel) -> None:
    before = {name: t.clone() for name, t in observed.state_dict().items() if "norm" in name}
    set_training_mode(observed, "frozen")
    observed(100 * models.images())
    same({name: t for name, t in observed.state_dict().items() if "norm" in name}, before)


def test_dropped_values_are_in_no_range(observed: ObservedModel) -> None:
    """A dropout scales up what it leaves; the program, which has none, would lose half its steps by that."""
    heavy = observe(models.seasoned(models.Residual(dropout=0.9)), models.IMAGES)
    heavy.drop.p = 0.0
    heavy.train()
    torch.manual_seed(1)
    largest = 0.0

    def watch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal largest
        largest = max(largest, inputs[0].abs().max().item())

    for rounding in heavy.fake_quantizes():
        rounding.register_forward_pre_hook(watch)
    heavy(models.images(64))
    dropped = largest
    largest = 0.0
    heavy.drop_again.p = 0.0
    heavy(models.images(64))
    assert dropped < 3 * largest  # values behind the dropout are 10 times as large


def test_pruned_weights_stay_zero() -> None:
    plain = models.seasoned(models.Residual())
    with torch.no_grad():
        for layer in (plain.first, plain.head):
            layer.weight[torch.rand_like(layer.weight) < 0.5] = 0
    records = [KeptZeros(module=name, pattern="unstructured") for name in ("first", "head")]
    observed = apply_transforms(apply_transforms(plain, records), [models.IMAGES])
    zeros = {name: observed.get_parameter(f"{name}.weight") == 0 for name in ("first", "head")}
    observed.calibrate({"x": models.images()})
    train(observed, momentum(observed), 3, seed=1)
    trained = copy.deepcopy(observed)
    train(trained, momentum(trained), 3, seed=2)
    for name, zero in zeros.items():
        weight = trained.get_parameter(f"{name}.weight")
        assert torch.equal(weight == 0, zero), name
    int8 = int8_module(trained.eval())
    x = models.images()
    assert torch.equal(int8(x), trained(x))
    weights = {t.shape: t for t in int8.state_dict().values() if t.dtype == torch.int8}
    for name, zero in zeros.items():
        assert (weights[zero.shape][zero] == 0).all(), name


def test_layers_stay_float() -> None:
    record = models.IMAGES.model_copy(update={"skipped": ("second*", "head")})
    observed = observe(models.seasoned(models.Residual()), record)
    observed.calibrate({"x": models.images()})
    observed.eval()
    int8 = int8_module(observed)
    shapes = [tuple(t.shape) for t in int8.state_dict().values() if t.dtype == torch.int8 and t.dim() > 1]
    assert shapes == [(8, 3, 3, 3)]
    x = models.images()
    assert models.sqnr(int8(x), observed(x)) > 80


def test_inputs_and_outputs_by_name() -> None:
    torch.manual_seed(0)
    plain = models.Named()
    specs = {"scalars": TensorSpec(shape=(3,)), "image": TensorSpec(shape=(4,))}
    observed = observe(copy.deepcopy(plain), Observers(inputs=specs))
    inputs = {"scalars": torch.randn(5, 3), "image": torch.randn(5, 4)}
    observed.calibrate(inputs)
    expected, found = call_model(plain, inputs), call_model(observed.eval(), inputs)
    assert list(found) == ["logits", "features"]
    for name, tensor in expected.items():
        assert models.sqnr(found[name], tensor) > 30
    int8 = int8_module(observed)
    for result in (call_model(int8, inputs), int8(*inputs.values())):
        assert all(torch.equal(result[name], found[name]) for name in found)


def test_observers_are_left_out() -> None:
    kept = KeptZeros(module="head", pattern="unstructured")
    assert without_observers([kept, models.IMAGES]) == (kept,)


def test_quantized_already(observed: ObservedModel) -> None:
    with pytest.raises(UsageError, match="quantized already; start from its float checkpoint"):
        observe(observed, models.IMAGES)


def test_pattern_without_a_layer() -> None:
    record = models.IMAGES.model_copy(update={"skipped": ("hed",)})
    with pytest.raises(UsageError, match=r"'hed' matches no layer .* did you mean 'head'"):
        observe(models.Residual(), record)
