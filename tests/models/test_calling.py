import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.transforms import Lora
from edgetrain.errors import UsageError
from edgetrain.models.calling import call_model
from edgetrain.models.transforms import apply_transforms

A, B = torch.tensor([1.0]), torch.tensor([10.0])


class Difference(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left - right


def test_a_single_input_has_no_name() -> None:
    assert torch.equal(call_model(nn.Identity(), {"whatever": A}), A)


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


@torch.no_grad()
def test_adapters_inside_of_attention_count_in_evaluation() -> None:
    """PyTorch runs a whole encoder layer by one operator then, which knows of no adapters."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    apply_transforms(layer, [Lora(module="linear1", rank=2, alpha=2.0)])
    adapter = layer.get_submodule("linear1")
    assert isinstance(adapter.lora_b, Tensor)
    nn.init.normal_(adapter.lora_b)
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    x = torch.randn(3, 6, 8)
    expected = layer.train()(x)
    assert not torch.allclose(layer.eval()(x), expected, atol=0.01)
    torch.testing.assert_close(call_model(layer, {"x": x}), expected)
    assert torch.backends.mha.get_fastpath_enabled()


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2)


def test_the_callers_tensors_stay_as_they_are() -> None:
    x = torch.ones(3)
    assert call_model(InPlace(), {"x": x}).tolist() == [2, 2, 2]
    assert x.tolist() == [1, 1, 1]
