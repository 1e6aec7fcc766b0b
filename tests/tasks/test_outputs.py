from collections import OrderedDict

import pytest
import torch

from edgetrain.errors import UsageError
from edgetrain.tasks.outputs import main_output, named_outputs

A, B = torch.tensor([1.0]), torch.tensor([2.0])


def test_names() -> None:
    assert named_outputs(A) == {"output": A}
    assert named_outputs(OrderedDict(out=A, aux=B)) == {"out": A, "aux": B}
    assert named_outputs((A, B)) == {"output": A, "output1": B}
    assert named_outputs((A, (B, B), None)) == {"output": A}


def test_floats_are_float32() -> None:
    found = named_outputs((A.bfloat16(), torch.tensor([3])))
    assert [tensor.dtype for tensor in found.values()] == [torch.float32, torch.int64]


@pytest.mark.parametrize("returned", [None, (), {}, {"loss": 0.5}, "text"])
def test_no_tensor(returned: object) -> None:
    with pytest.raises(UsageError, match="the model must return a tensor or tensors by name, but returned"):
        named_outputs(returned)


@pytest.mark.parametrize(
    ("names", "main"), [(["aux", "out"], "out"), (["hidden", "logits"], "logits"), (["b", "a"], "b")]
)
def test_main_output(names: list[str], main: str) -> None:
    outputs = {name: torch.zeros(1) for name in names}
    assert main_output(outputs) is outputs[main]
