"""`edgetrain pack`, and its file in place of the data set it came from."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from edgetrain.artifacts.tensors import read_tensors

FEW = ("--images-per-class", "4", "--test-images-per-class", "2")


def test_default_output_and_table(run, folder):
    ran = run("pack", *FEW)
    assert ran.code == 0, ran.stderr
    assert {path.name for path in folder.iterdir()} == {"digits.train.ptd", "digits.train.json"}
    for text in (
        "digits.train.ptd",
        "digits.train.json",
        "40",
        "uint8 [1, 8, 8]",
        "int64 []",
        "0.3053",
        "1 px",
    ):
        assert text in ran.stdout
    assert run("pack", *FEW, "--split", "test").code == 0
    assert (folder / "digits.test.ptd").is_file()


def test_json(run, folder):
    document = json.loads(run("pack", *FEW, "--split", "test", "-o", "out/t.ptd", "--json").stdout)
    assert (document["command"], document["packed"], document["description_path"]) == (
        "pack",
        "out/t.ptd",
        "out/t.json",
    )
    assert document["description"] == json.loads((folder / "out" / "t.json").read_text())
    assert (document["description"]["samples"], document["description"]["split"]) == (20, "test")


def test_configuration_from_a_file(run, folder):
    (folder / "c.yaml").write_text(
        "data:\n  images_per_class: 3\npack:\n  split: train\nfinetune:\n  epochs: 2\n"
    )
    document = json.loads(run("pack", "--config", "c.yaml", "--shift", "invert", "--json").stdout)
    assert document["description"]["samples"] == 30
    assert document["description"]["config"]["shift"] == ["invert"]
    assert run("pack", "--split", "validation").code == 2


def test_named_tensors(run, folder):
    pixels = np.zeros((10, 3, 4, 4), dtype=np.uint8)
    np.savez(folder / "a.npz", image=pixels, ids=np.arange(10), size=np.ones(10))
    ran = run(
        *("pack", "--data", "arrays", "--data-dir", "a.npz", "-o", "a.ptd"),
        *("--inputs", "image", "--inputs", "ids", "--targets", "size"),
    )
    assert ran.code == 0, ran.stderr
    for text in (
        "inputs: image",
        "uint8 [3, 4, 4]",
        "inputs: ids",
        "int64 [1]",
        "targets: size",
        "float32 []",
    ):
        assert text in ran.stdout
    assert "normalised with: ids" not in ran.stdout
    description = json.loads((folder / "a.json").read_text())
    assert (list(description["inputs"]), list(description["targets"])) == (["image", "ids"], ["size"])
    assert set(read_tensors(folder / "a.ptd").entries) == {"image", "ids", "size"}


@pytest.mark.parametrize("name", ["digits.train.ptd", "digits.train.json"])
def test_existing_default_files_are_kept(run, folder, name):
    (folder / name).write_text("old")
    assert "exists already; replace it with --force" in run("pack", *FEW).stderr
    assert (folder / name).read_text() == "old"
    assert run("pack", *FEW, "--force").code == 0
    assert read_tensors(folder / "digits.train.ptd").entries["targets"].shape == (40,)


@pytest.mark.parametrize(
    ("output", "code", "message"),
    [
        ("data.npz", 2, "name an output that ends in .ptd"),
        ("model.ptd", 2, "is the place of model.pte's weights"),
        ("file/data.ptd", 1, "can't write"),
    ],
)
def test_outputs_that_are_refused(run, folder, output, code, message):
    (folder / "model.pte").touch()
    (folder / "file").touch()
    ran = run("pack", "-o", output)
    assert (ran.code, ran.stdout) == (code, "")
    assert message in ran.stderr
    assert {path.name for path in folder.iterdir()} == {"model.pte", "file"}


def test_packed_data_is_never_packed_over_itself(run, folder):
    for split in ("train", "test"):
        assert run("pack", *FEW, "--split", split, "-o", f"data/{split}.ptd").code == 0
    before = (folder / "data" / "train.ptd").read_bytes()
    again = ("pack", "--data", "arrays", "--force", "-o", "data/train.ptd", "--data-dir")
    for source in ("data", "data/train.ptd"):
        ran = run(*again, source)
        assert (ran.code, "is also read" in ran.stderr) == (2, True)
    assert (folder / "data" / "train.ptd").read_bytes() == before
    assert run("pack", "--data", "arrays", "--data-dir", "data", "-o", "again.ptd").code == 0
    assert (folder / "again.ptd").read_bytes() == before


@pytest.mark.parametrize("damaged", ["train.ptd", "train.json"])
def test_damaged_data_is_bad_input(run, folder, digits, damaged):
    for split in ("train", "test"):
        assert run("pack", *FEW, "--split", split, "-o", f"data/{split}.ptd").code == 0
    data = (folder / "data" / damaged).read_bytes()
    (folder / "data" / damaged).write_bytes(data[: len(data) // 2])
    ran = run("finetune", digits.program, "--data", "arrays", "--data-dir", "data", "-o", "t.ptd")
    assert (ran.code, ran.stdout) == (3, "")
    assert damaged in ran.stderr
    assert run("inspect", f"data/{damaged}").code == 3


@pytest.mark.parametrize("options", [(), ("--shift", "invert", "--no-augment")], ids=["usual", "shifted"])
def test_fine_tuning_on_packed_data_is_the_same(run, folder, digits, options):
    """Not one bit of losses and weights differs, whether the samples come from the data set or its files."""
    for split in ("train", "test"):
        assert run("pack", *FEW, *options, "--split", split, "-o", f"data/{split}.ptd").code == 0
    tune = ("finetune", digits.program, "--runtime", "torch", "--threads", "1", "--epochs", "2", "--json")
    named = json.loads(run(*tune, *FEW, *options, "-o", "named.ptd").stdout)
    packed = json.loads(run(*tune, "--data", "arrays", "--data-dir", "data", "-o", "packed.ptd").stdout)
    for key in ("train_loss", "val_loss", "val_accuracy"):
        assert [e[key] for e in named["history"]["epochs"]] == [e[key] for e in packed["history"]["epochs"]]
    assert (folder / "named.ptd").read_bytes() == (folder / "packed.ptd").read_bytes()


def test_fine_tuning_a_regression_on_packed_data_is_the_same(
    run, folder, regression_program, regression_data
):
    data = ("--data", "arrays", "--data-dir", regression_data)
    for split in ("train", "test"):
        assert run("pack", *data, "--split", split, "-o", f"data/{split}.ptd").code == 0
    shutil.copytree(regression_program.program.parent, folder / "program")
    tune = ("finetune", "program/model.pte", "--runtime", "torch", "--threads", "1", "--epochs", "1", "-q")
    assert run(*tune, *data, "-o", "named.ptd").code == 0
    assert run(*tune, "--data", "arrays", "--data-dir", "data", "-o", "packed.ptd").code == 0
    named, packed = (read_tensors(folder / f"{name}.ptd").tensors() for name in ("named", "packed"))
    assert all(torch.equal(named[name], packed[name]) for name in named)
