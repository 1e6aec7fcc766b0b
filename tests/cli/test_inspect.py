"""`edgetrain inspect`."""

from __future__ import annotations

import json

import pytest

DESCRIPTION = {
    "kind": "checkpoint",
    "schema_version": 9,
    "model": {"name": "mlp", "args": {}},
    "classes": ["0", "1"],
    "tensors": [{"name": "fc.weight\x1b[2J", "shape": [10, 2], "dtype": "float32", "bytes": 80}],
}


@pytest.fixture
def file(fake_stage, folder):
    fake_stage("artifacts.inspect", describe=lambda path: DESCRIPTION)
    (folder / "model.pth").write_text("x")
    return "model.pth"


def test_table(run, file):
    ran = run("inspect", file)
    assert ran.code == 0, ran.stderr
    for text in ("model.pth: checkpoint", "model.name", "mlp", '["0", "1"]', "float32 [10, 2]  bytes=80"):
        assert text in ran.stdout
    assert "\x1b" not in ran.stdout


def test_memory_of_a_program(run, fake_stage, file):
    memory = {
        "bound": 1_200_000,
        "peak": "relu of act\x1b[2J",
        "tensors": [
            {"maker": "mm of head", "kind": "saved", "shape": [8, 4], "dtype": "float32", "bytes": 900_000}
        ],
        "stretches": [
            {"operator": "convolution", "bytes": 600_000},
            {"operator": "relu", "bytes": 1_200_000},
        ],
    }
    told = {
        **DESCRIPTION,
        "methods": {"train": {"operators": 2, "memory": memory}, "predict": {"memory": None}},
    }
    fake_stage("artifacts.inspect", describe=lambda path: told)
    ran = run("inspect", file)
    lines = [line.strip() for line in ran.stdout.splitlines()]
    assert ["methods.train.memory.bound", "1200000"] in [line.split() for line in lines]
    assert any(line.startswith("relu            1.200 MB ██") and line.endswith("◀") for line in lines)
    assert "0.900 MB 8x4 float32, mm of head (saved)" in lines
    assert "\x1b" not in ran.stdout
    document = json.loads(run("inspect", file, "--json").stdout)
    assert document["methods"]["train"]["memory"] == memory


def test_what_was_done_to_a_model(run, fake_stage, file):
    replaced = [{"kind": "replaced_layer", "module": f"act{i}"} for i in range(5)]
    told = {
        "kind": "edgetrain.checkpoint",
        "transforms": [{"kind": "graph", "calls": {"Conv2d": 2, "aten.view.default": 1}}, *replaced],
    }
    fake_stage("artifacts.inspect", describe=lambda path: told)
    rows = [line.split(None, 1) for line in run("inspect", file).stdout.splitlines() if "transforms" in line]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["transforms.graph", "2 Conv2d, 1 view.default"],
        ["transforms.replaced_layer", "5: act0, act1, act2, ..."],
    ]
    assert len(json.loads(run("inspect", file, "--json").stdout)["transforms"]) == 6


def test_json(run, file):
    document = json.loads(run("inspect", file, "--json").stdout)
    assert document["schema_version"] == 1
    assert document["kind"] == "checkpoint"
    assert document["tensors"] == DESCRIPTION["tensors"]


def test_missing_file(run, folder):
    ran = run("inspect", "none.pth")
    assert (ran.code, ran.stderr) == (3, "error: none.pth does not exist\n")


def test_reports_are_shown_as_their_commands_do(run, folder):
    from edgetrain.checking.report import CheckReport, Compared, RunReport

    wrong = Compared(error=0.5, from_float32=0.5, own=1e-7, allowed=1e-4, right=False)
    groups = {group: {"what": wrong} for group in ("loss", "gradients", "steps", "predict")}
    report = CheckReport(
        model="mine:net",
        inputs={"inputs": [3, "float32"]},
        task="classification",
        loss="cross_entropy",
        parameters=12345,
        batch_norm="frozen",
        exports=True,
        runs=[RunReport(runtime="native", kernels="fast", batch_size=4, steps=1, groups=groups)],
    )
    document = {"command": "check", "right": report.right, **report.model_dump(mode="json")}
    (folder / "check.json").write_text(json.dumps(document))
    ran = run("inspect", "check.json")
    assert ran.stdout.startswith("check.json: edgetrain check report, mine:net: WRONG")
    assert "12,345" in ran.stdout
    assert "gradients 0.5 WRONG (what, allowed 0.0001)" in ran.stdout
    assert json.loads(run("inspect", "check.json", "--json").stdout)["runs"] == document["runs"]


def test_a_history_has_a_row_for_each_epoch(run, folder):
    from edgetrain.artifacts.history import EpochRecord, History, save_history

    epochs = [
        EpochRecord(epoch=0, val_loss=2.5),
        EpochRecord(epoch=1, train_loss=2.25, val_loss=1.5, steps=7),
    ]
    history = History(runtime="torch", device="cpu", threads=1, seed=0, config={}, epochs=epochs)
    save_history(folder / "h.json", history)
    ran = run("inspect", "h.json")
    lines = [line.split() for line in ran.stdout.splitlines()]
    assert ["epoch", "train", "loss", "val", "loss", "steps"] in lines
    assert ["0", "–", "2.5", "0"] in lines
    assert ["1", "2.25", "1.5", "7"] in lines


@pytest.mark.parametrize(
    "text",
    [
        '{"export_seconds": 3}',
        '{"workload": {}, "results": [{"runtime": "torch"}]}',
        '{"details": {}, "steps": [3]}',
    ],
    ids=["check", "bench", "optimize"],
)
def test_damaged_reports_are_refused_in_a_sentence(run, folder, text):
    (folder / "r.json").write_text(text)
    ran = run("inspect", "r.json")
    assert ran.code == 3
    assert "r.json is" in ran.stderr
    assert "again" in ran.stderr
