"""`edgetrain export`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetrain.artifacts.manifest import Verification
from edgetrain.export.memory.timeline import MemoryTimeline, Step
from edgetrain.factories import Trusted

MANIFEST = {
    "contract": {
        "methods": {
            "train": {"arena_bytes": [2_048_000, 1024]},
            "predict": {"arena_bytes": [512_000]},
            "weights": {"arena_bytes": [0, 1024]},
        },
        "tensors": [
            {"name": name, "shape": shape, "dtype": "float32", "kind": kind, "update": update}
            for name, shape, kind, update in (
                ("a.weight", [100, 20], "parameter", "graph"),
                ("b.weight", [500], "parameter", "none"),
                ("bn.running_mean", [1000], "buffer", "graph"),
                ("optimizer.first/a.weight", [100, 20], "optimizer_state", "graph"),
            )
        ],
    }
}
TIMELINE = MemoryTimeline("train", (Step("relu", ""),), (), 0, 0)


@pytest.fixture
def calls(fake_stage, stand_in):
    calls = []

    def export(config, checkpoint, output, *, trusted, reporter):
        calls.append(SimpleNamespace(config=config, checkpoint=checkpoint, output=output, trusted=trusted))
        external = config.export.weights == "external"
        return SimpleNamespace(
            program=Path(f"{output}.pte"),
            weights=Path(f"{output}.ptd") if external else None,
            manifest_path=Path(f"{output}.json"),
            manifest=MANIFEST,
            verification=Verification(
                batch_sizes=[3, 1, 32],
                kernels=["stock", "fast"],
                loss=1e-7,
                gradients=2e-6,
                weights_after_steps=3e-6,
                predict_after_steps=4e-7,
                predictions=0.0,
                metrics=0.0,
                worst_gradient="a.weight",
                tolerance=1e-4,
                sensitivity=None,
            ),
            timelines={"train": TIMELINE},
            chosen=None,
            rules=None,
        )

    fake_stage("export", export=export)
    stand_in("model.pth", "checkpoint")
    return calls


def test_default_output_and_table(run, calls):
    ran = run("export", "model.pth")
    assert ran.code == 0, ran.stderr
    assert (calls[0].checkpoint, calls[0].output) == (Path("model.pth"), Path("model"))
    assert calls[0].trusted == Trusted()
    for text in (
        "model.pte",
        "model.ptd",
        "2,500 (2,000 trainable)",
        "verified against PyTorch",
        "gradients 2e-06",
        "batches of 3, 1, 32; kernels: stock, fast",
    ):
        assert text in ran.stdout


def test_memory(run, calls):
    lines = [" ".join(line.split()) for line in run("export", "model.pth").stdout.splitlines()]
    first = lines.index("activations of train 2.048 MB")
    assert lines[first : first + 5] == [
        "activations of train 2.048 MB",
        "activations of predict 0.512 MB",
        "weights that change 0.012 MB",
        "optimizer state 0.008 MB",
        "frozen weights (mapped) 0.002 MB",
    ]
    inline = run("export", "model.pth", "--weights", "inline", "--force")
    assert "frozen weights (in the program)" in inline.stdout


def test_memory_plot(run, calls, folder):
    ran = run("export", "model.pth", "--memory-plot", "memory.png")
    assert "plot of the memory" in ran.stdout
    assert (folder / "memory.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads(run("export", "model.pth", "--memory-plot", "memory.png", "--json").stdout)
    assert document["memory_plot"] == "memory.png"


@pytest.mark.parametrize("flags", [(), ("--compare-updates",)])
@pytest.mark.parametrize(
    ("file", "message"), [("memory.pdf", "does not end in .png"), ("model.pth/memory.png", "model.pth")]
)
def test_a_plot_that_cannot_be_written(run, calls, file, message, flags):
    ran = run("export", "model.pth", "--memory-plot", file, *flags)
    assert ran.code != 0
    assert message in ran.stderr
    assert not calls


@pytest.mark.parametrize(
    ("given", "stem"), [("out/net", "out/net"), ("out/net.pte", "out/net"), ("net.v2", "net.v2")]
)
def test_the_stem(run, calls, given, stem):
    flags = ("--model", "my.package:factory", "--loss", "my.losses:smooth")
    assert run("export", "model.pth", "-o", given, *flags).code == 0
    assert calls[0].output == Path(stem)
    assert calls[0].trusted == Trusted(model="my.package:factory", loss="my.losses:smooth")


def test_json(run, calls):
    document = json.loads(run("export", "model.pth", "--json", "--weights", "inline").stdout)
    assert document["weights"] is None
    assert document["verification"]["loss"] == 1e-7
    assert document["manifest"]["contract"]["methods"]["predict"] == {"arena_bytes": [512_000]}


@pytest.mark.parametrize("suffix", [".pte", ".ptd", ".json"])
def test_existing_default_files_are_kept(run, calls, folder, suffix):
    (folder / f"model{suffix}").write_text("old")
    assert run("export", "model.pth").code == 2
    assert run("export", "model.pth", "--force").code == 0
    assert run("export", "model.pth", "-o", "model").code == 0


def test_inline_weights_leave_an_old_ptd_alone(run, calls, folder):
    (folder / "model.ptd").write_text("old")
    assert run("export", "model.pth", "--weights", "inline").code == 0


def test_a_folder_is_no_name(run, calls, folder):
    (folder / "out").mkdir()
    ran = run("export", "model.pth", "-o", "out")
    assert (ran.code, ran.stderr) == (
        2,
        "error: out is a folder; name the files in it too, as in -o out/model\n",
    )


@pytest.mark.parametrize("name", ["net.pth", "net.ptd", "net.json"])
def test_the_name_of_another_file_is_refused(run, calls, name):
    ran = run("export", "model.pth", "-o", name)
    assert (ran.code, ran.stderr) == (2, f"error: -o {name} must name a program; write -o net.pte\n")
    assert not calls


def test_calibration_data_are_never_overwritten(run, calls, stand_in):
    stand_in("samples.ptd", "file of weights")
    given = ["--calibration", "samples.ptd", "--force"]
    ran = run("export", "model.pth", "-o", "samples", *given)
    assert (ran.code, "samples.ptd is also read" in ran.stderr) == (2, True)
    assert not calls


def test_rules_are_never_overwritten(run, calls, folder):
    (folder / "lean.json").write_text('{"rules": [{"pattern": "head", "train": "all"}]}')
    ran = run("export", "model.pth", "-o", "lean", "--update", "rules:lean.json", "--force")
    assert (ran.code, "lean.json is also read" in ran.stderr) == (2, True)
    assert not calls


def test_the_checkpoint_is_never_overwritten(run, calls, stand_in):
    stand_in("odd.ptd", "checkpoint")
    assert run("export", "odd.ptd", "-o", "odd", "--force").code == 2
    assert not calls
