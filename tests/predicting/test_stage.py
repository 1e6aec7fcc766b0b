"""Predictions of programs and checkpoints, against PyTorch and NumPy."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgetrain.artifacts.checkpoint import load_checkpoint, save_checkpoint
from edgetrain.config.stages import PredictCommand
from edgetrain.data import load_dataset
from edgetrain.errors import CheckFailedError, InputError, UsageError
from edgetrain.models.trusted import load_trusted_model
from edgetrain.predicting import predict

DATA = {"name": "digits", "images_per_class": 20, "test_images_per_class": 10}


def command(data=None, **settings) -> PredictCommand:
    return PredictCommand.model_validate({"data": data or {}, "predict": settings})


@pytest.fixture(scope="module")
def truth(digits_program):
    """Probabilities in float64, labels, and images of the test split."""
    checkpoint = load_checkpoint(digits_program.checkpoint)
    config = PredictCommand.model_validate({"data": DATA}).data
    split = load_dataset(config, program=checkpoint.inputs).test
    samples = split.samples(range(len(split)))
    images = samples.inputs["inputs"]
    model = load_trusted_model(checkpoint, source="").double().eval()
    with torch.no_grad():
        outputs = model(checkpoint.inputs["inputs"].preprocessing.apply(images).double())
    return outputs.softmax(1).numpy(), samples.targets["targets"].numpy(), images


def save_images(folder: Path, images: torch.Tensor, names: list[str]) -> None:
    for name, image in zip(names, images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(folder / name)


def test_a_data_set(digits_program, truth, tmp_path):
    """A program says what PyTorch says, and is measured as NumPy does it; so is the checkpoint."""
    probabilities, labels, _ = truth
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, probabilities.argmax(1)), 1)
    for path, is_program in ((digits_program.program, True), (digits_program.checkpoint, False)):
        found = predict(command(DATA, top=4), path, is_program=is_program, output=tmp_path / "p.csv")
        assert found.confusion == counts.tolist()
        assert found.figures["accuracy"] == pytest.approx(
            (probabilities.argmax(1) == labels).mean(), abs=1e-9
        )
        expected = -np.log(probabilities[range(len(labels)), labels]).mean()
        assert found.figures["loss"] == pytest.approx(expected, rel=1e-5)
        assert (found.count, found.listed, len(found.cells), len(found.predictions)) == (100, 20, 20, 100)
        for row, prediction in enumerate(found.predictions):
            order = np.argsort(-probabilities[row])[:4]
            assert [t["class"] for t in prediction["top"]] == [str(i) for i in order]
            scores = [t["score"] for t in prediction["top"]]
            np.testing.assert_allclose(scores, probabilities[row, order], rtol=1e-4)
            assert prediction["label"] == str(labels[row])
            assert prediction["right"] == (order[0] == labels[row])
        with (tmp_path / "p.csv").open() as file:
            lines = list(csv.DictReader(file))
        assert [line["class"] for line in lines] == [str(i) for i in probabilities.argmax(1)]
        assert float(lines[7]["top.4.score"]) == found.predictions[7]["top"][3]["score"]


def test_images(digits_program, truth, tmp_path):
    """Files and folders, in their order; folders named after classes bring labels."""
    probabilities, labels, images = truth
    names = [f"{label}/{row:03}.png" for row, label in enumerate(labels)]
    save_images(tmp_path / "sorted", images, names)
    (tmp_path / "sorted" / "3" / ".hidden.png").write_text("no image")
    found = predict(command(), digits_program.program, [tmp_path / "sorted"], is_program=True)
    assert [Path(p["sample"]).name for p in found.predictions] == [Path(n).name for n in sorted(names)]
    rows = [int(Path(p["sample"]).stem) for p in found.predictions]
    assert [p["class"] for p in found.predictions] == [str(probabilities[row].argmax()) for row in rows]
    assert found.figures["accuracy"] == pytest.approx((probabilities.argmax(1) == labels).mean(), abs=1e-9)
    assert found.listed == 100
    picture = tmp_path / "c.svg"
    predict(command(), digits_program.checkpoint, [tmp_path / "sorted"], is_program=False, picture=picture)
    assert picture.read_text().rstrip().endswith("</svg>")

    save_images(tmp_path / "flat", images[:4].repeat(1, 3, 4, 4)[:, :1], ["a.png", "b.png", "c.jpg", "d.png"])
    one = tmp_path / "sorted" / names[9]
    found = predict(command(show=1), digits_program.checkpoint, [one, tmp_path / "flat"], is_program=False)
    assert [Path(p["sample"]).name for p in found.predictions] == [
        "009.png",
        "a.png",
        "b.png",
        "c.jpg",
        "d.png",
    ]
    assert found.predictions[0]["class"] == str(probabilities[9].argmax())
    assert (found.figures, found.confusion, found.listed) == (None, None, 1)


@pytest.mark.parametrize("folders", ["", "test/"])
def test_damaged_images(digits_program, truth, tmp_path, listener, folders):
    """One ends the run; or all are left out, and named."""
    probabilities, labels, images = truth
    root = tmp_path / "in"
    names = [f"{folders}{label}/{row:03}.png" for row, label in enumerate(labels)]
    save_images(root, images, names)
    if folders:
        (root / "train").symlink_to(root / "test")
    damaged = sorted(root / names[row] for row in (12, 70))
    damaged[0].write_bytes(damaged[0].read_bytes()[:50])
    damaged[1].write_text("no image")
    with pytest.raises(InputError, match=r"\.png is damaged or no image .*; --skip-corrupt leaves"):
        predict(command(), digits_program.checkpoint, [root], is_program=False)
    heard = listener()
    skipping = command({"skip_corrupt": True})
    found = predict(skipping, digits_program.checkpoint, [root], is_program=False, reporter=heard)
    warning = f"2 of 100 images are damaged and left out: {damaged[0]}, {damaged[1]}"
    assert warning in heard.messages
    sound = [row for row in range(100) if row not in (12, 70)]
    right = probabilities[sound].argmax(1) == labels[sound]
    assert (found.count, len(found.predictions)) == (98, 98)
    assert found.figures["accuracy"] == pytest.approx(right.mean(), abs=1e-9)
    with pytest.raises(InputError, match=r"all images in .* are damaged"):
        predict(skipping, digits_program.checkpoint, [damaged[1]], is_program=False)


def test_arrays(digits_program, regression_program, regression_data, truth, tmp_path):
    probabilities, labels, images = truth
    np.savez(tmp_path / "unknown.npz", inputs=images.numpy())
    found = predict(command(), digits_program.program, [tmp_path / "unknown.npz"], is_program=True)
    assert [p["class"] for p in found.predictions] == [str(i) for i in probabilities.argmax(1)]
    assert found.figures is None
    np.savez(tmp_path / "known.npz", inputs=images.numpy(), targets=labels)
    found = predict(command(), digits_program.checkpoint, [tmp_path / "known.npz"], is_program=False)
    assert found.figures["accuracy"] == pytest.approx((probabilities.argmax(1) == labels).mean(), abs=1e-9)

    found = predict(command(), regression_program.program, [regression_data], is_program=True)
    checkpoint = load_checkpoint(regression_program.checkpoint)
    inputs = torch.from_numpy(np.load(regression_data)["inputs"])
    with torch.no_grad():
        model = load_trusted_model(checkpoint, source="").double().eval()
        expected = model(checkpoint.inputs["inputs"].preprocessing.apply(inputs).double()).numpy()
    np.testing.assert_allclose([p["output"] for p in found.predictions], expected, rtol=1e-4, atol=1e-5)
    targets = np.load(regression_data)["targets"]
    np.testing.assert_allclose([p["known"]["targets"] for p in found.predictions], targets)
    assert found.figures["loss"] == pytest.approx(np.abs(expected - targets).mean(), rel=1e-5)
    assert found.confusion is None


def test_mistakes(digits_program, regression_program, truth, tmp_path):
    _, _, images = truth
    save_images(tmp_path, images[:3], ["3/a.png", "4/b.png", "nine/c.png"])
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.png").write_bytes((tmp_path / "3" / "a.png").read_bytes()[:50])
    np.savez(tmp_path / "other.npz", inputs=np.zeros((2, 1, 9, 9), "uint8"))
    np.savez(tmp_path / "range.npz", inputs=np.zeros((2, 1, 8, 8), "uint8"), targets=[1, 10])
    model = digits_program.checkpoint

    def refused(error, text, *places, **more):
        with pytest.raises(error, match=text):
            predict(command(), model, [tmp_path / place for place in places], is_program=False, **more)

    refused(InputError, "the folder nine is not", ".")
    refused(InputError, "no images found", "empty")
    refused(InputError, "cut.png is damaged", "cut.png")
    refused(InputError, "does not exist", "missing.png")
    refused(InputError, "8x8", "other.npz")
    refused(InputError, "label 10|10 classes", "range.npz")
    refused(UsageError, "name it alone", "other.npz", "cut.png")
    refused(UsageError, "no labels", "3", picture=tmp_path / "c.png")
    with pytest.raises(UsageError, match="takes no images"):
        predict(command(), regression_program.program, [tmp_path / "3"], is_program=True)
    checkpoint = load_checkpoint(digits_program.checkpoint)
    checkpoint.state["classifier.2.bias"][3] = float("nan")
    save_checkpoint(tmp_path / "nan.pth", checkpoint)
    with pytest.raises(CheckFailedError, match=r"sample .*a\.png is not finite"):
        predict(command(), tmp_path / "nan.pth", [tmp_path / "3"], is_program=False)


@pytest.mark.promise("A program that crashes is an error, in a process of its own")
def test_a_program_that_crashes_is_an_error(digits, truth, tmp_path, monkeypatch):
    """It runs in a process of its own."""
    from edgetrain.predicting import subject

    monkeypatch.setattr(subject, "_Predictor", Crashing)
    with pytest.raises(CheckFailedError, match=r"died of SIGSEGV while running .*model\.pte"):
        predict(command(DATA), digits.program, is_program=True)


class Crashing:
    def __init__(self, *given: object) -> None:
        pass

    def predict(self, inputs: object) -> None:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGSEGV)
