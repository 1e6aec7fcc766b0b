"""`edgetrain convert`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from edgetrain.convert import ConvertResult, Failure, FileReport
from edgetrain.convert.verification import Comparison
from edgetrain.errors import InputError


@pytest.fixture
def calls(fake_stage, folder):
    calls = []

    def convert(config, files, *, reporter):
        calls.append(SimpleNamespace(config=config, files=files))
        return ConvertResult(
            [_report(source, stem) for source, stem in files if "bad" not in source.name],
            [Failure(source, InputError(f"{source} is bad")) for source, _ in files if "bad" in source.name],
        )

    fake_stage("convert", convert=convert)
    for name in ("a.pt", "a.ptl", "b.pt", "bad.pt", "worse_bad.pt"):
        (folder / name).write_bytes(b"")
    return calls


def _report(source: Path, stem: Path) -> FileReport:
    return FileReport(
        source=source,
        format="TorchScript",
        target="pte (portable, float32)",
        outputs=[stem.with_name(stem.name + ".pte")],
        inputs=["3,32,32"],
        returned=["output"],
        batch=1,
        fixed_batch=True,
        bytes_before=2048,
        bytes_after=1024,
        load_ms_before=10.0,
        load_ms_after=1.0,
        latency_ms_before=2.0,
        latency_ms_after=None,
        comparison=Comparison(16, 1e-7, 2e-7, float("inf"), 1.0),
        delegated=(31, 34),
    )


def test_one_file(run, calls):
    ran = run("convert", "b.pt", "--to", "train", "--export-max-batch-size", "4", "--model-arg", "n=3")
    assert ran.code == 0, ran.stderr
    assert calls[0].files == [(Path("b.pt"), Path("b"))]
    config = calls[0].config
    assert (config.convert.to, config.export.max_batch_size, config.convert.model_args) == (
        "train",
        4,
        {"n": 3},
    )
    for text in (
        "converted 1 of 1",
        "b.pte: pte (portable, float32), 31 of 34 operators delegated",
        "2.0 KiB → 1.0 KiB",
        "2 → –",
        "1e-07",
        "100.00 %",
    ):
        assert text in ran.stdout


def test_names_of_results(run, calls, folder):
    assert run("convert", "a.pt", "a.ptl", "b.pt", "-o", "out").code == 0
    assert [stem for _, stem in calls[0].files] == [Path("out/a.pt"), Path("out/a.ptl"), Path("out/b")]
    assert run("convert", "a.ptl", "-o", "new/net.pte").code == 0
    assert calls[1].files == [(Path("a.ptl"), Path("new/net"))]
    (folder / "b.pte").write_bytes(b"old")
    assert run("convert", "b.pt").code == 2
    assert run("convert", "b.pt", "--force").code == 0
    for arguments, message in (
        (
            ("a.pt", "b.pt", "-o", "net.pte"),
            "-o net.pte names one file, but several are converted; name a folder",
        ),
        (("b.pt", "-o", "net.pte", "--to", "pth"), "-o net.pte must end in .pth; name a folder"),
    ):
        ran = run("convert", *arguments)
        assert (ran.code, ran.stderr) == (2, f"error: {message}\n")


def test_the_source_is_never_overwritten(run, calls, folder):
    (folder / "net.pth").write_bytes(b"")
    assert run("convert", "net.pth", "--to", "pth", "--force").code == 2
    assert run("convert", "net.pth", "--to", "pth", "-o", "out").code == 0


def test_failures(run, calls):
    ran = run("convert", "bad.pt")
    assert (ran.code, ran.stdout, ran.stderr) == (3, "", "error: bad.pt is bad\n")
    ran = run("convert", "bad.pt", "worse_bad.pt")
    assert (ran.code, ran.stdout) == (1, "converted 0 of 2\n")
    assert ran.stderr == "error: bad.pt is bad\nerror: worse_bad.pt is bad\n"
    ran = run("convert", "b.pt", "bad.pt", "--json")
    assert (ran.code, ran.stderr) == (1, "error: bad.pt is bad\n")
    document = json.loads(ran.stdout)
    assert [result["source"] for result in document["results"]] == ["b.pt"]
    assert document["results"][0]["comparison"]["sqnr_db"] is None
    assert document["failures"] == [{"source": "bad.pt", "error": "bad.pt is bad", "exit_code": 3}]


@pytest.mark.slow
def test_a_folder_of_twenty_files_one_of_them_damaged(spawn, folder):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    (folder / "models").mkdir()
    first = folder / "models" / "m00.pt"
    torch.jit.trace(model, torch.randn(1, 4)).save(str(first))
    for index in range(1, 20):
        shutil.copy(first, folder / "models" / f"m{index:02}.pt")
    damaged = folder / "models" / "m07.pt"
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    ran = spawn("convert", "models", "-o", "out", "--json", cwd=folder)
    assert ran.returncode == 1
    assert ran.stderr == "error: models/m07.pt is cut short or damaged; copy or download it again\n"
    results = json.loads(ran.stdout)["results"]
    assert [Path(r["source"]).name for r in results] == [f"m{i:02}.pt" for i in range(20) if i != 7]
    assert all(r["comparison"]["relative_error"] < 1e-5 for r in results)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        f"m{i:02}.pte" for i in range(20) if i != 7
    ]
