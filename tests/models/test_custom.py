from pathlib import Path

import pytest
import torch

from edgetrain.artifacts.specs import InputSpec
from edgetrain.config.model import ModelConfig
from edgetrain.errors import UsageError
from edgetrain.factories import meant_file
from edgetrain.models import build_model, resolve_model

CODE = """
from torch import nn

def net(num_classes, width=4):
    return nn.Sequential(nn.Linear(3, width), nn.Linear(width, num_classes))

def parts(encoder, classes):
    return nn.Sequential(encoder, nn.Linear(3, classes))

def fixed():
    return nn.Linear(3, 2)

def anything(**options):
    return nn.Linear(3, len(options) + 1)

def wrong():
    return 5

def broken(num_classes):
    raise KeyError("no such layer")

constant = 3
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edgetrain_user_models.py").write_text(CODE)
    (tmp_path / "edgetrain_user_broken.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)


def resolve(factory: str, **args: object) -> ModelConfig:
    config = ModelConfig(name=f"edgetrain_user_models:{factory}", args=args)
    return resolve_model(config, {"x": InputSpec(shape=(3,))}, 5)


def test_factory_gets_the_number_of_classes() -> None:
    config = resolve("net", width=6)
    assert config.args == {"width": 6, "num_classes": 5}
    assert build_model(config)(torch.zeros(2, 3)).shape == (2, 5)


def test_factory_without_that_argument_is_left_alone() -> None:
    assert resolve("fixed").args == {}
    assert resolve("anything", a=1).args == {"a": 1}
    assert build_model(resolve("anything", a=1))(torch.zeros(2, 3)).shape == (2, 2)


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("edgetrain_user_models:net", {"widht": 3, "num_classes": 5}, "did you mean 'width'"),
        ("edgetrain_user_models:net", {}, r"needs model\.args\.num_classes"),
        (
            "edgetrain_user_models:parts",
            {},
            r"needs model\.args\.encoder, model\.args\.classes; give them as in --model-arg encoder=VALUE "
            r"--model-arg classes=VALUE; where one is an object, name what builds the model: --model package",
        ),
        ("edgetrain_user_models:wrong", {}, "must return a torch.nn.Module, but returned int"),
        ("edgetrain_user_models:broken", {"num_classes": 5}, "failed with KeyError: 'no such layer'"),
        ("edgetrain_user_models:constant", {}, "has no function or class 'constant'"),
        ("edgetrain_user_models:missing", {}, "has no function or class 'missing'"),
        ("edgetrain_user_nowhere:net", {}, "can't import 'edgetrain_user_nowhere'"),
        ("edgetrain_user_broken:net", {}, "ZeroDivisionError: division by zero"),
        ("os; print(1):net", {}, "write package.module:factory"),
        (":net", {}, "write package.module:factory"),
    ],
)
def test_error_is_one_sentence(name: str, args: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build_model(ModelConfig(name=name, args=args))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("net.py", "write net:FACTORY, with the function or class of net.py that makes it"),
        ("net", "write net:FACTORY, with the function or class of net.py that makes it"),
        ("./net.py:Net", "write net:Net"),
        ("sub/net.py:Net", "write sub.net:Net"),
        ("my-net.py:Net", "my-net.py can't be imported by that name; call it my_net.py"),
        ("net:Net", None),
        ("other.py", None),
    ],
)
def test_a_file_is_answered_with_what_was_meant(
    name: str, meant: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for file in ("net.py", "my-net.py", "sub/net.py"):
        (tmp_path / file).touch()
    assert meant_file(name) == meant
