"""State dicts, checkpoints and whole modules; and pickles that would do harm."""

from __future__ import annotations

import argparse
import collections
import datetime
import enum
import logging
import os
import pathlib
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from convert_models import make
from torch import nn

from edgetrain.errors import InputError, UsageError
from edgetrain.runtimes.inference import InferenceProgram

Convert = Callable[..., Any]
IMAGES = {"model": "convert_models:Images", "input_shape": ["3,12,12"], "to": "pth"}


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_in_a_pickle_runs(convert: Convert, tmp_path: Path, zipped: bool) -> None:
    proof = tmp_path / "proof"
    path = tmp_path / "harmful.pt"
    torch.save(Harmful(f"touch {proof}"), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        InputError, match=r"pickle of Python objects \(posix\.system\): loading it can run any code"
    ):
        convert(path, **IMAGES)
    assert not proof.exists()
    # That it would have run is seen where it is trusted.
    with pytest.raises((InputError, UsageError)):
        convert(path, trust_pickle=True, **IMAGES)
    assert proof.exists()


@pytest.mark.parametrize("trust", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_beside_weights_runs(convert: Convert, tmp_path: Path, zipped: bool, trust: bool) -> None:
    """Trusted or not, the weights are all that is needed."""
    proof = tmp_path / "proof"
    path = tmp_path / "harmful.pt"
    saved = {"state_dict": make("Images").state_dict(), "extra": Harmful(f"touch {proof}")}
    torch.save(saved, path, _use_new_zipfile_serialization=zipped)
    assert convert(path, trust_pickle=trust, **IMAGES).comparison.max_error == 0
    assert not proof.exists()


def test_modules_need_trust(convert: Convert, model_file: Callable[[str, str], Path]) -> None:
    path = model_file("pickled module", "Images")
    with pytest.raises(
        InputError,
        match=r"add --trust-pickle, or have its weights alone, .* --model convert_models:Images$",
    ):
        convert(path, input_shape=["3,12,12"])
    report = convert(path, trust_pickle=True, **IMAGES)
    assert report.format == "state_dict"
    assert report.comparison.max_error == 0


def test_classes_that_are_gone(convert: Convert, tmp_path: Path) -> None:
    class Gone(torch.nn.Linear):
        pass

    Gone.__qualname__ = "Gone"
    Gone.__module__ = "convert_models"
    import convert_models

    convert_models.Gone = Gone
    torch.save(Gone(3, 2), tmp_path / "gone.pt")
    del convert_models.Gone
    with pytest.raises(InputError, match=r"needs the code it was made with.*take the weights alone"):
        convert(tmp_path / "gone.pt", trust_pickle=True)
    # The message's way out: another class has their names.
    args = {"in_features": 3, "out_features": 2}
    report = convert(tmp_path / "gone.pt", model="torch.nn:Linear", model_args=args, input_shape=["3"])
    assert report.comparison.relative_error < 1e-5


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"model_state_dict": s, "best_acc": np.float64(0.9), "args": {"lr": 0.1}},
        lambda s: {"model": {"state_dict": {f"_orig_mod.module.{k}": t for k, t in s.items()}}},
        lambda s: {"state_dict": {**{f"net.{k}": t for k, t in s.items()}, "loss.weight": torch.ones(3)}},
        lambda s: {"module": s, "n_averaged": torch.tensor(3)},
        lambda s: {k: t for k, t in s.items() if not k.endswith("num_batches_tracked")},
    ],
    ids=["numpy scalar", "compiled DDP", "Lightning", "averaged model", "before counters"],
)
def test_checkpoints_of_all_sorts(convert: Convert, tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(make("Images").state_dict()), tmp_path / "net.ckpt")
    assert convert(tmp_path / "net.ckpt", **IMAGES).comparison.max_error == 0
    written = torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"]
    assert torch.equal(written["head.weight"], make("Images").head.weight)


def test_averaged_weights(convert: Convert, tmp_path: Path) -> None:
    state = make("Images").state_dict()
    averaged = {key: tensor + 1 if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "net.pt")
    report = convert(tmp_path / "net.pt", **IMAGES)
    assert report.notes == ["it also has averaged weights: --weights-key state_dict_ema"]
    convert(tmp_path / "net.pt", weights_key="state_dict_ema", **IMAGES)
    written = torch.load(tmp_path / "out.pth", weights_only=True)["state_dict"]
    assert torch.equal(written["conv.bias"], averaged["conv.bias"])
    with pytest.raises(
        UsageError, match="has no weights at 'ema'; it has some at state_dict, state_dict_ema"
    ):
        convert(tmp_path / "net.pt", weights_key="ema", **IMAGES)


def test_several_models_in_one_file(convert: Convert, tmp_path: Path) -> None:
    torch.save(
        {"generator": make("Images").state_dict(), "critic": {"w": torch.ones(2)}}, tmp_path / "gan.pt"
    )
    with pytest.raises(
        UsageError, match="has weights at generator, critic; choose with --weights-key generator"
    ):
        convert(tmp_path / "gan.pt", **IMAGES)
    assert convert(tmp_path / "gan.pt", weights_key="generator", **IMAGES).comparison.max_error == 0


def test_nothing_to_convert(convert: Convert, tmp_path: Path) -> None:
    torch.save([torch.ones(2), 3], tmp_path / "list.pt")
    with pytest.raises(InputError, match=r"holds no weights: .* \(a list of 2: Tensor, int\)"):
        convert(tmp_path / "list.pt", **IMAGES)


def test_weights_that_do_not_fit(convert: Convert, tmp_path: Path) -> None:
    state = {f"module.{key}": tensor for key, tensor in make("Images").state_dict().items()}
    del state["module.head.bias"]
    state["module.extra.weight"] = torch.ones(2)
    state["module.conv.bias"] = torch.ones(7)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(
        InputError,
        match=r"missing head\.bias; unexpected extra\.weight; conv\.bias is \[7\], the model's is \[6\]",
    ):
        convert(tmp_path / "net.pt", **IMAGES)


class Kind(enum.Enum):
    """Something that only its program knows."""

    SMALL = 1


@pytest.mark.parametrize(
    "beside",
    [
        argparse.Namespace(lr=0.1),
        pathlib.PurePosixPath("runs/7"),
        datetime.datetime(2024, 5, 1, 12, 30, tzinfo=datetime.timezone.utc),
        collections.defaultdict(list, {"loss": [0.5]}),
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.float64(0.9),
        np.bool_(True),
        {"numpy": np.random.RandomState(0).get_state(), "python": random.Random(0).getstate()},
        Kind.SMALL,
        torch.Generator().get_state(),
        nn.Linear(2, 2),
        logging.getLogger("training"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_objects_beside_the_weights(convert: Convert, tmp_path: Path, beside: Any, protocol: int) -> None:
    saved = {"state_dict": make("Images").state_dict(), "args": beside}
    torch.save(saved, tmp_path / "net.pt", pickle_protocol=protocol)
    assert convert(tmp_path / "net.pt", **IMAGES).comparison.max_error == 0


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"model": m, "epoch": 3}, lambda m: Average(m)])
def test_modules_in_every_nesting(convert: Convert, tmp_path: Path, wrap: Any) -> None:
    torch.save(wrap(make("Images")), tmp_path / "net.pt")
    # Their weights need no trust.
    assert convert(tmp_path / "net.pt", **IMAGES).comparison.max_error == 0
    with pytest.raises(InputError, match="add --trust-pickle, or have its weights alone"):
        convert(tmp_path / "net.pt", input_shape=["3,12,12"])
    report = convert(tmp_path / "net.pt", trust_pickle=True, input_shape=["3,12,12"])
    assert report.format == "pickled module"
    assert report.comparison.relative_error < 1e-5


class Grid(nn.Module):
    """Keeps what depends on the size of its input for the next call, as heads of detectors do.

    Args:
        kept: the shape of the last input it was called with before it was saved.
    """

    places = torch.empty(0)

    def __init__(self, kept: tuple[int, ...] | None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2)
        self.kept = kept

    def forward(self, x: torch.Tensor, *more: Any) -> torch.Tensor:
        features = self.conv(x).flatten(2)
        if self.kept != x.shape:
            self.kept, self.places = tuple(x.shape), torch.arange(features.shape[2]) + 0.5
        found: torch.Tensor = features + self.places
        return found


@pytest.mark.parametrize("kept", [None, (2, 3, 12, 12), (16, 3, 64, 64)])
def test_what_a_module_keeps_of_its_last_input(
    convert: Convert, tmp_path: Path, kept: tuple[int, ...] | None
) -> None:
    model = Grid(kept).eval()
    if kept is not None:
        model.places = torch.arange(kept[0]) + 0.5 if kept[0] == 16 else torch.arange(25) + 0.5
    torch.save({"model": model}, tmp_path / "net.pt")
    report = convert(tmp_path / "net.pt", trust_pickle=True, input_shape=["3,12,12"])
    # A batch of one is what a program takes, whatever could be captured.
    sample = torch.randn(1, 3, 12, 12)
    program = InferenceProgram(report.outputs[0])
    torch.testing.assert_close(program.run(sample)[0], model(sample), rtol=1e-4, atol=1e-5)


class Once(nn.Module):
    """Nothing that can be captured for any batch."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.linear(row[None]) for row in x.unbind()])


def test_a_capture_for_one_batch_is_for_single_samples(convert: Convert, tmp_path: Path) -> None:
    torch.save(Once().eval(), tmp_path / "net.pt")
    settings = {"trust_pickle": True, "input_shape": ["4"]}
    report = convert(tmp_path / "net.pt", **settings)
    assert (report.batch, report.fixed_batch, report.notes) == (1, True, [])
    assert InferenceProgram(report.outputs[0]).run(torch.ones(1, 4))[0].shape == (1, 3)
    (note,) = convert(tmp_path / "net.pt", max_batch_size=4, **settings).notes
    assert note == "it was captured for single samples, and its program takes no others"


class Average:
    """What training programs keep beside a model."""

    def __init__(self, model: nn.Module) -> None:
        self.ema = model
        self.updates = 7


def test_settings_beside_tensors(convert: Convert, tmp_path: Path) -> None:
    """A state_dict with more in it, also tensors further down, is one all the same."""
    state = make("Images").state_dict()
    for more in ({"config": {"depth": 3}}, {"state": {"x": torch.ones(2)}}, {"version": 2}):
        torch.save({**state, **more}, tmp_path / "net.pt")
        assert convert(tmp_path / "net.pt", **IMAGES).comparison.max_error == 0


def _arrays(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {name: tensor.numpy() for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("detectron.pkl", lambda state, p: p.write_bytes(pickle.dumps({"model": _arrays(state), "by": "x"}))),
        ("tensors.pkl", lambda state, p: p.write_bytes(pickle.dumps(dict(state)))),
        ("module.pkl", lambda state, p: p.write_bytes(pickle.dumps({"net": make("Images")}))),
        ("arrays.pt", lambda state, p: torch.save({"state_dict": _arrays(state), "epoch": np.int64(3)}, p)),
        ("arrays.npz", lambda state, p: np.savez(p, **_arrays(state))),
    ],
)
def test_arrays_and_plain_pickles(convert: Convert, tmp_path: Path, name: str, write: Any) -> None:
    write(make("Images").state_dict(), tmp_path / name)
    assert convert(tmp_path / name, **IMAGES).comparison.max_error == 0


def test_weights_in_tuples_and_lists(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save((make("Images").state_dict(), 17), path)
    assert convert(path, **IMAGES).comparison.max_error == 0
    torch.save([make("Images").state_dict(), make("Images").state_dict()], path)
    with pytest.raises(UsageError, match="has weights at 0, 1; choose with --weights-key 0"):
        convert(path, **IMAGES)
    assert convert(path, weights_key="1", **IMAGES).comparison.max_error == 0
    torch.save((make("Images"), {"epoch": 3}), path)
    report = convert(path, trust_pickle=True, input_shape=["3,12,12"])
    assert report.format == "pickled module"


def test_what_is_no_model_by_itself(convert: Convert, tmp_path: Path) -> None:
    path, model = tmp_path / "x.pt", make("Images")
    torch.save(torch.optim.AdamW(model.parameters()).state_dict(), path)
    with pytest.raises(InputError, match=r"holds no weights.*\(the state of an optimizer\)"):
        convert(path, **IMAGES)
    adapter = {f"base.head.lora_{part}.weight": torch.ones(2, 2) for part in "AB"}
    torch.save(adapter, path)
    with pytest.raises(InputError, match=r"an adapter \(LoRA\): merge it into its model first"):
        convert(path, **IMAGES)


def test_objects_without_numbers_are_no_matter_of_trust(convert: Convert, tmp_path: Path) -> None:
    """As training_args.bin beside the weights, or the settings of a run."""
    path = tmp_path / "training_args.bin"
    torch.save(argparse.Namespace(lr=0.1, steps=[1, 2]), path)
    with pytest.raises(InputError, match=r"holds no weights.*\(argparse\.Namespace\)$"):
        convert(path)
    torch.save(argparse.Namespace(best=np.ones(3)), path)
    with pytest.raises(InputError, match="add --trust-pickle, or save model"):
        convert(path)


def test_modules_in_plain_pickles(convert: Convert, tmp_path: Path) -> None:
    (tmp_path / "net.pkl").write_bytes(pickle.dumps(make("Images")))
    with pytest.raises(InputError, match="add --trust-pickle"):
        convert(tmp_path / "net.pkl", input_shape=["3,12,12"])
    report = convert(tmp_path / "net.pkl", trust_pickle=True, input_shape=["3,12,12"])
    assert report.comparison.relative_error < 1e-5


def test_tensors_larger_than_their_file(convert: Convert, tmp_path: Path) -> None:
    state = make("Images").state_dict()
    state["conv.weight"] = torch.ones(1).expand(2**30)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InputError, match=r"conv\.weight is larger than what is stored of it"):
        convert(tmp_path / "net.pt", **IMAGES)


def test_damaged_tensors_and_pickles(convert: Convert, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save(make("Images").state_dict(), path)
    content = bytearray(path.read_bytes())
    at = content.index(b"ctorch._utils")
    content[at : at + 13] = b"\xff" * 13
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        convert(path, **IMAGES)


def test_suggestions(convert: Convert, tmp_path: Path) -> None:
    from edgetrain.config.model import ModelConfig
    from edgetrain.models import build_model

    resnet = build_model(ModelConfig(name="torchvision:resnet18", args={"num_classes": 7}))
    torch.save(resnet.state_dict(), tmp_path / "net.pt")
    command = (
        r"edgetrain convert .*net\.pt --model torchvision:resnet18 --model-arg num_classes=7 --input-shape"
    )
    with pytest.raises(
        UsageError, match=rf"holds 122 tensors \(conv1\.weight \[64, .*it could be: {command}"
    ):
        convert(tmp_path / "net.pt")
    flags = "--model torchvision:resnet18 --model-arg num_classes=7"
    with pytest.raises(InputError, match=rf"fc\.weight is \[7, 512\], .* it could be {flags}"):
        convert(tmp_path / "net.pt", model="torchvision:resnet18")
    torch.save(resnet, tmp_path / "net.pt")
    with pytest.raises(
        InputError, match=r"have its weights alone, .*: --model torchvision:resnet18 --model-arg"
    ):
        convert(tmp_path / "net.pt")
    torch.save(make("Images").state_dict(), tmp_path / "net.pt")
    with pytest.raises(UsageError, match=r"name it with --model package\.module:factory"):
        convert(tmp_path / "net.pt")


def test_own_checkpoints(convert: Convert, digits_program: Any) -> None:
    report = convert(digits_program.checkpoint)
    assert (report.format, report.inputs) == ("edgetrain checkpoint", ["1,8,8"])
    assert report.comparison.relative_error < 1e-5
    with pytest.raises(UsageError, match="is a digits_cnn, not a mlp"):
        convert(digits_program.checkpoint, model="mlp")


def test_a_pickle_of_pickle(tmp_path: Path) -> None:
    """The names a pickle would look up are read from it whatever its protocol."""
    from edgetrain.convert.pickles import summarize

    for protocol in (0, 2, 4, 5):
        found = summarize(pickle.dumps(Harmful("true"), protocol=protocol), tmp_path)
        assert found.names == ["posix.system"]


def test_weights_of_quantized_layers(convert: Convert, tmp_path: Path) -> None:
    model = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(4, 2)), {nn.Linear})
    torch.save(model.state_dict(), tmp_path / "quantized.pth")
    with pytest.raises(InputError, match="holds quantized layers; convert the float weights"):
        convert(tmp_path / "quantized.pth", **IMAGES)
