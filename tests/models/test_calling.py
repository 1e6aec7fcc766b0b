import pytest
import torch
from torch import Tensor, nn

from edgetrain.errors import UsageError
from edgetrain.models.calling import call_model

A, B = torch.tensor([1.0]), torch.tensor([10.0])


class Difference(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left - right


def test_a_single_input_has_no_name() -> None:
    assert call_model(nn.Identity(), {"whatever": A}) is A


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({"left": A, "right": B}, -9.0),
        ({"right": A, "left": B}, 9.0),
        ({"image": A, "numbers": B}, -9.0),
        ({"left": A, "numbers": B}, -9.0),
    ],
    ids=["by name", "by name in another order", "by position", "names and positions agree"],
)
def test_several_inputs(inputs: dict[str, Tensor], expected: float) -> None:
    assert call_model(Difference(), inputs).item() == expected


def test_a_guess_is_refused() -> None:
    with pytest.raises(UsageError, match=r"takes left, right, the data has numbers, left; name all inputs"):
        call_model(Difference(), {"numbers": A, "left": B})
