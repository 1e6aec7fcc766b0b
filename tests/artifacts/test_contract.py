from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgetrain.artifacts.contract import Contract


def _argument(name: str, role: str, index: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "index": index, "dtype": "float32", "shape": ["batch", 2], **more}


def _contract(**changes: Any) -> dict[str, Any]:
    """One weight, trained by an optimizer, and one running mean, changed by the graph."""
    scalar: dict[str, Any] = {"shape": []}
    outputs = [
        _argument("loss", "loss", 0, **scalar),
        _argument("loss_sum", "metric", 1, **scalar),
        _argument("count", "metric", 2, **scalar),
        _argument("w", "gradient", 3, tensor="w", shape=[2]),
        _argument("w", "parameter", 4, tensor="w", shape=[2]),
    ]
    train = {
        "inputs": [_argument("x", "input", 0), _argument("y", "target", 1, shape=["batch"])],
        "outputs": outputs,
        "arena_bytes": [64, 16],
        "operators": [],
    }
    weight = {"name": "w", "kind": "parameter", "shape": [2], "dtype": "float32", "update": "optimizer"}
    mean = {"name": "mean", "kind": "buffer", "shape": [2], "dtype": "float32", "update": "graph"}
    fixed = {"name": "fixed", "kind": "parameter", "shape": [2], "dtype": "float32", "update": "none"}
    return {
        "dimensions": {"batch": {"least": 1, "most": 8}},
        "methods": {"train": train},
        "tensors": [weight, mean, fixed],
        "metrics": [{"name": "loss", "top": "loss_sum", "bottom": "count", "better": "lower"}],
        "best": ["loss"],
        **changes,
    }


def test_arguments_are_found_by_role() -> None:
    contract = Contract.model_validate(_contract())
    train = contract.methods["train"]
    assert [a.name for a in train.taken("input")] == ["x"]
    assert [a.index for a in train.given("metric")] == [1, 2]
    assert train.taken("target")[0].sample_shape == ()
    assert contract.max_batch_size == 8
    assert contract.trainable == ["w"]
    assert [t.name for t in contract.changing] == ["w", "mean"]
    assert contract.tensor("mean").kind == "buffer"


def test_it_survives_json() -> None:
    contract = Contract.model_validate(_contract())
    assert Contract.model_validate_json(contract.model_dump_json()) == contract


def test_a_parameter_updated_in_the_graph_is_trained_too() -> None:
    tensors = _contract()["tensors"]
    tensors[2]["update"] = "graph"
    assert Contract.model_validate(_contract(tensors=tensors)).trainable == ["w", "fixed"]


def test_a_program_with_an_optimizer_of_its_own() -> None:
    """What the optimizer keeps is none of the model's tensors; gradients have a method of their own."""
    plain = Contract.model_validate(_contract())
    assert (plain.gradient_method, plain.states, plain.optimizer) == ("train", [], None)
    state = {"name": "optimizer.first/w", "kind": "optimizer_state", "shape": [2], "dtype": "float32"}
    changes: dict[str, Any] = {"optimizer": {"name": "sgd"}, "splits_batches": True}
    changes["tensors"] = [*_contract()["tensors"], {**state, "update": "graph"}]
    train = _contract()["methods"]["train"]
    updating = {**train, "outputs": train["outputs"][:3]}
    both = {"train": updating, "gradients": train}
    contract = Contract.model_validate(_contract(methods=both, **changes))
    assert contract.gradient_method == "gradients"
    assert [tensor.name for tensor in contract.states] == ["optimizer.first/w"]
    assert [tensor.name for tensor in contract.stored] == ["w", "mean", "fixed"]
    assert [tensor.name for tensor in contract.changing] == ["w", "mean"]
    alone = Contract.model_validate(_contract(methods={"train": updating}, **changes))
    assert alone.gradient_method is None


def _broken(what: str) -> dict[str, Any]:
    contract = _contract()
    train = contract["methods"]["train"]
    if what == "numbers":
        train["outputs"][0]["index"] = 1
    elif what == "tensor":
        train["outputs"][3]["tensor"] = "v"
    elif what == "dimension":
        train["inputs"][0]["shape"] = ["batch", "time"]
    elif what == "batch":
        contract["dimensions"] = {"time": {"most": 3}}
    elif what == "optimizer":
        contract["tensors"][0]["update"] = "none"
    elif what == "best":
        contract["best"] = ["accuracy"]
    elif what == "role":
        train["inputs"][0]["role"] = "guest"
    return contract


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("numbers", "not numbered in their order"),
        ("tensor", "train has an argument of v, which is no tensor of the program"),
        ("dimension", "train has an argument with the unknown dimension time"),
        ("batch", "it has no batch dimension"),
        ("optimizer", "w has a gradient, but nothing changes it"),
        ("best", "accuracy is no metric"),
        ("role", "Input should be 'input'"),
    ],
)
def test_one_that_does_not_hang_together(what: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Contract.model_validate(_broken(what))
