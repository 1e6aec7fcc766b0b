import pytest
import torch

from edgetrain.artifacts.specs import InputSpec
from edgetrain.config.model import ModelConfig
from edgetrain.errors import UsageError
from edgetrain.models import build_model, is_custom, resolve_model, without_pretrained_weights


def resolve(name: str, shape: tuple[int, ...], outputs: int = 10, **args: object) -> ModelConfig:
    return resolve_model(ModelConfig(name=name, args=args), {"x": InputSpec(shape=shape)}, outputs)


@pytest.mark.parametrize(
    ("name", "shape", "outputs"),
    [
        ("digits_cnn", (1, 8, 8), 10),
        ("digits_cnn", (3, 4, 4), 2),
        ("digits_cnn", (1, 29, 29), 7),
        ("cifar_cnn", (3, 32, 32), 10),
        ("cifar_cnn", (1, 9, 9), 3),
        ("xor_mlp", (2,), 2),
        ("mlp", (3, 4, 5), 6),
        ("mlp", (7,), 1),
        ("cnn1d", (3, 50), 4),
        ("cnn1d", (1, 4), 4),
    ],
)
def test_builtin_fits_the_data(name: str, shape: tuple[int, ...], outputs: int) -> None:
    config = resolve(name, shape, outputs)
    model = build_model(config)
    assert model(torch.zeros(2, *shape)).shape == (2, outputs)
    again = build_model(ModelConfig.model_validate_json(config.model_dump_json()))
    assert {n: t.shape for n, t in model.state_dict().items()} == {
        n: t.shape for n, t in again.state_dict().items()
    }


def test_resolved_arguments_are_complete() -> None:
    assert resolve("cifar_cnn", (3, 32, 32), 10, dropout=0.1).args == {
        "in_channels": 3,
        "image_size": 32,
        "num_classes": 10,
        "dropout": 0.1,
    }
    assert resolve("mlp", (4, 4), 3).args["hidden"] == [512, 512]


def test_cifar_cnn_has_the_known_layers() -> None:
    state = build_model(resolve("cifar_cnn", (3, 32, 32))).state_dict()
    assert {name: tuple(t.shape) for name, t in state.items() if name.endswith("weight")} == {
        "features.0.weight": (32, 3, 3, 3),
        "features.3.weight": (64, 32, 3, 3),
        "features.6.weight": (128, 64, 3, 3),
        "classifier.0.weight": (512, 2048),
        "classifier.3.weight": (10, 512),
    }


@pytest.mark.parametrize(
    ("name", "shape", "args", "message"),
    [
        ("digits_cn", (1, 8, 8), {}, "there is no model 'digits_cn'; did you mean 'digits_cnn'?"),
        ("resnet18", (3, 32, 32), {}, "did you mean 'torchvision:resnet18'?"),
        ("whatever", (3, 32, 32), {}, "known are digits_cnn"),
        ("cifar_cnn", (3, 32, 32), {"dropuot": 0.1}, "no argument 'dropuot'; did you mean 'dropout'?"),
        (
            "digits_cnn",
            (1, 8, 8),
            {"num_classes": 5},
            "num_classes of digits_cnn is 5, but the data needs 10",
        ),
        ("digits_cnn", (64,), {}, r"takes samples of shape \[C, H, W\], the data's are \[64\]"),
        ("digits_cnn", (1, 8, 9), {}, "takes square images, the data's are 8x9"),
        *(
            ("cifar_cnn", (32, 32, last), {}, r"channels last: save array\.transpose\(0, 3, 1, 2\)")
            for last in (1, 3, 4)
        ),
        ("cifar_cnn", (3, 32, 3), {}, "takes square images, the data's are 32x3; set --image-size"),
    ],
)
def test_misfit_is_one_sentence(
    name: str, shape: tuple[int, ...], args: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve(name, shape, **args)


@pytest.mark.parametrize(
    ("name", "shape", "args", "message"),
    [
        ("digits_cnn", (1, 3, 3), {}, "image_size must be at least 4, not 3"),
        ("cifar_cnn", (3, 7, 7), {}, "image_size must be at least 8"),
        ("cifar_cnn", (3, 8, 8), {"dropout": 1.5}, "dropout probability"),
        ("mlp", (4,), {"hidden": 5}, "hidden must be a list"),
        ("cnn1d", (1, 3), {}, "too short for 2 blocks"),
        ("cnn1d", (1, 30), {"kernel_size": 4}, "kernel_size must be odd"),
    ],
)
def test_impossible_values_are_one_sentence(
    name: str, shape: tuple[int, ...], args: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        build_model(resolve(name, shape, **args))


def test_ids_and_numbers_are_told_apart() -> None:
    ids, numbers = InputSpec(shape=(4,), dtype="int64"), InputSpec(shape=(4,))
    with pytest.raises(UsageError, match="mlp takes float32 inputs, the data's are int64"):
        resolve_model(ModelConfig(name="mlp"), {"x": ids}, 2)
    with pytest.raises(
        UsageError, match=r"text_transformer takes int64 inputs \(ids\), the data's are float32"
    ):
        resolve_model(ModelConfig(name="text_transformer"), {"x": numbers}, 2)


@pytest.mark.parametrize("name", ["mlp", "torchvision:resnet18"])
def test_several_inputs_need_a_model_of_ones_own(name: str) -> None:
    inputs = {"image": InputSpec(shape=(3, 8, 8)), "numbers": InputSpec(shape=(4,))}
    with pytest.raises(UsageError, match=f"{name} takes one input, the data's samples have image, numbers;"):
        resolve_model(ModelConfig(name=name), inputs, 2)
    custom = ModelConfig(name="torch.nn:Bilinear", args={"in1_features": 2, "in2_features": 3})
    assert resolve_model(custom, inputs, 2) == custom


def test_wrong_and_missing_names_when_building() -> None:
    with pytest.raises(UsageError, match="mlp has no argument 'hiden'; did you mean 'hidden'"):
        build_model(ModelConfig(name="mlp", args={"hiden": []}))
    with pytest.raises(UsageError, match=r"mlp needs model\.args\.in_features"):
        build_model(ModelConfig(name="mlp", args={"num_classes": 2}))


def test_dropout_acts_only_in_training() -> None:
    model = build_model(resolve("mlp", (4,), 3, hidden=[64], dropout=0.5))
    x = torch.ones(1, 4)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_who_is_custom() -> None:
    assert is_custom("mine.models:net")
    assert not is_custom("torchvision:resnet18")
    assert not is_custom("digits_cnn")


def test_checkpoints_do_not_download() -> None:
    config = ModelConfig(name="torchvision:resnet18", args={"weights": "DEFAULT", "num_classes": 3})
    assert without_pretrained_weights(config).args == {"num_classes": 3}
    assert config.args["weights"] == "DEFAULT"
