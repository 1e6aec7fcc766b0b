"""`edgetrain bench`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

ENTRY = {
    "runtime": "executorch",
    "threads": 2,
    "batch_size": 4,
    "step_ms": {"median": 1.5, "p95": 2.0, "min": 1.25},
    "samples_per_s": 2666.7,
    "load_ms": 3.0,
    "peak_rss_bytes": 3 << 20,
    "arena_bytes": [1024],
    "program_bytes": 2048,
    "losses": [2.3, 2.2],
    "max_loss_rel_error": None,
    "ratio_to_torch": 0.5,
}


@pytest.fixture
def calls(fake_stage, stand_in):
    calls = []
    stand_in("net.pte", "program")

    def bench(config, program, output, *, weights, page, command, trusted, reporter):
        calls.append(SimpleNamespace(**locals()))
        report = {"schema_version": 1, "machine": {}, "workload": {}, "results": [ENTRY]}
        return SimpleNamespace(report=report, path=output, plot=output.with_suffix(".png"), page=page)

    fake_stage("bench", bench=bench)
    return calls


def test_table(run, calls):
    ran = run("bench", "net.pte", "--threads", "1", "--threads", "2", "--steps", "7")
    assert ran.code == 0, ran.stderr
    assert calls[0].output == Path("bench.json")
    assert (calls[0].config.bench.threads, calls[0].config.bench.steps) == ([1, 2], 7)
    for text in ("executorch", "1.5", "[MiB]", "3.0", "0.5", "–"):
        assert text in ran.stdout


def test_the_table_fits_a_terminal(run, calls, monkeypatch):
    large = {"threads": 16, "batch_size": 128, "step_ms": {"median": 1234.56, "p95": 23456.7, "min": 1.0}}
    errors = {"max_loss_rel_error": 1.234e-05, "ratio_to_torch": 123.4, "peak_rss_bytes": 12345 << 20}
    monkeypatch.setitem(globals(), "ENTRY", {**ENTRY, **large, **errors})
    ran = run("bench", "net.pte")
    table = [line.rstrip() for line in ran.stdout.splitlines()[1:]]
    assert max(map(len, table)) <= 80
    assert "executorch 16 128 1235 2.346e+04 123 12345.0 1.2e-05" in " ".join(ran.stdout.split())


def test_a_missing_runner_is_told_where_nobody_chose(run, calls, monkeypatch):
    monkeypatch.setattr("edgetrain.cli.bench.find_runner", lambda: None)
    ran = run("bench", "net.pte")
    assert ran.code == 0
    assert "warning: the native runner is not installed, so it is left out; " in ran.stderr
    assert run("bench", "net.pte", "--runtimes", "torch", "--force").stderr == ""


def test_json(run, calls):
    document = json.loads(run("bench", "net.pte", "--json", "-o", "b.json").stdout)
    assert document["results"] == [ENTRY]
    assert (document["path"], document["plot"]) == ("b.json", "b.png")


@pytest.mark.parametrize("name", ["bench.json", "bench.png"])
def test_existing_defaults_are_kept(run, calls, folder, name):
    (folder / name).write_text("old")
    assert run("bench", "net.pte").code == 2
    assert run("bench", "net.pte", "--force").code == 0


def test_a_page_that_tells_what_made_it(run, calls, folder):
    ran = run("bench", "net.pte", "--report", "a page.html", "--batch-sizes", "4,8")
    assert ran.code == 0, ran.stderr
    assert calls[0].page == Path("a page.html")
    assert calls[0].command == "edgetrain bench net.pte --report 'a page.html' --batch-sizes 4,8"
    assert "page in a page.html" in ran.stdout
    assert run("bench", "net.pte", "--force").code == 0
    assert calls[1].page is None
    wrong = run("bench", "net.pte", "--force", "--report", "page.json")
    assert (wrong.code, "does not end in .html" in wrong.stderr) == (2, True)


def test_a_report_is_no_plot(run, calls):
    ran = run("bench", "net.pte", "-o", "bench.png")
    assert ran.code == 2
    assert "bench.png does not end in .json; name it bench.json" in ran.stderr


def test_the_manifest_is_never_overwritten(run, calls, folder):
    (folder / "net.json").write_text("manifest")
    assert run("bench", "net.pte", "-o", "net.json").code == 2


def test_operators_are_listed_by_time(run, calls, monkeypatch):
    def operator(name, ms, share, kernel="edgetrain", part="backward"):
        figures = {"calls": 2.0, "ms": ms, "share": share}
        return {"operator": name, "kernel": kernel, "part": part, **figures}

    operators = [operator("aten::convolution_backward.out", 1.25, 0.5)]
    operators += [operator(f"aten::op{i}.out", 0.1, 0.04, "executorch", "forward") for i in range(12)]
    operators += [operator("edgetrain::lstm.out", 0.05, 0.02, part="update")]
    profile = {"steps": 7, "step_ms": 3.0, "operators_ms": 2.5, "operators": operators}
    monkeypatch.setitem(globals(), "ENTRY", {**ENTRY, "profile": profile})
    ran = run("bench", "net.pte", "--profile")
    assert calls[0].config.bench.profile
    table = ran.stdout[ran.stdout.index("executorch, 2 threads, batch 4: operators") :]
    lines = [" ".join(line.split()) for line in table.splitlines()]
    assert "convolution_backward.out edgetrain backward 2 1.2500 50.0" in lines
    assert "(2 more) 4 0.1500 6.0" in lines
    assert len([line for line in lines if "executorch forward" in line]) == 11
    sums = "2.5 ms in operators (forward 1.2, backward 1.25, update 0.05), of 3 ms of a step"
    assert f"{sums} while it was profiled" in lines
    assert max(map(len, (line.rstrip() for line in table.splitlines()[:-1]))) <= 80
