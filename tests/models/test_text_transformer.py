import pytest
import torch
from torch import nn
from torch.nn import functional

from edgetrain.artifacts.specs import InputSpec
from edgetrain.config.model import ModelConfig
from edgetrain.errors import UsageError
from edgetrain.models import build_model, resolve_model
from edgetrain.models.text_transformer import Attention, TextTransformer


def resolve(outputs: int = 20, length: int = 6, **args: object) -> ModelConfig:
    spec = InputSpec(shape=(length,), dtype="int64")
    return resolve_model(ModelConfig(name="text_transformer", args=args), {"inputs": spec}, outputs)


def test_length_and_vocabulary_come_from_the_data() -> None:
    config = resolve()
    assert (config.args["length"], config.args["num_classes"], config.args["tied"]) == (6, 20, True)
    model = build_model(config)
    assert model(torch.randint(0, 20, (3, 6))).shape == (3, 6, 20)
    assert "mask" not in model.state_dict()
    assert model.head.weight is model.tokens.weight


def test_a_token_sees_only_those_before_it() -> None:
    model = build_model(resolve()).eval()
    ids = torch.randint(0, 20, (1, 6))
    changed = ids.clone()
    changed[0, 3] = (ids[0, 3] + 1) % 20
    with torch.no_grad():
        before, after = model(ids)[0], model(changed)[0]
    torch.testing.assert_close(before[:3], after[:3], rtol=0, atol=0)
    assert not torch.equal(before[3:], after[3:])
    both_ways = build_model(resolve(causal=False)).eval()
    with torch.no_grad():
        assert not torch.equal(both_ways(ids)[0, 0], both_ways(changed)[0, 0])


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_torchs(causal: bool) -> None:
    attention, x = Attention(8, 2), torch.randn(3, 5, 8)
    query, key, value = attention.project_in(x).view(3, 5, 3, 2, 4).permute(2, 0, 3, 1, 4)
    mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
    expected = attention.project_out(mixed.transpose(1, 2).reshape(3, 5, 8))
    mask = torch.full((5, 5), float("-inf")).triu(1) if causal else None
    torch.testing.assert_close(attention(x, mask), expected)


def test_tags_have_their_own_head() -> None:
    model = build_model(resolve(outputs=3, vocabulary=20, tied=False, causal=False))
    assert model(torch.randint(0, 20, (2, 6))).shape == (2, 6, 3)
    assert isinstance(model.head, nn.Linear)
    assert model.head.weight is not model.tokens.weight


def test_a_shorter_text_fits() -> None:
    assert TextTransformer(8, 5)(torch.zeros(1, 3, dtype=torch.int64)).shape == (1, 3, 5)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"width": 10, "heads": 4}, "width must be a multiple of heads"),
        ({"vocabulary": 50}, "20 classes can't be tied to 50 tokens; set tied to false"),
        ({"num_classes": 9}, "num_classes of text_transformer is 9, but the data needs 20"),
    ],
)
def test_impossible_values_are_one_sentence(args: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model(resolve(**args))
