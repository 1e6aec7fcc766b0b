from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from edgetrain.bench import bench
from edgetrain.config.stages import BenchCommand
from edgetrain.errors import CheckFailedError, InputError, UsageError
from edgetrain.runner import find_kernels, find_runner


def _config(**settings: Any) -> BenchCommand:
    data = settings.pop("data", {"name": "digits", "images_per_class": 5})
    optimizer = settings.pop("optimizer", {"lr": 0.01})
    base = {"steps": 5, "rounds": 2, "warmup": 2, "batch_sizes": [4], "threads": [1]}
    return BenchCommand.model_validate({"data": data, "optimizer": optimizer, "bench": {**base, **settings}})


@pytest.mark.slow
def test_report(digits_program: Any, tmp_path: Path) -> None:
    page = tmp_path / "b.html"
    result = bench(
        _config(batch_sizes=[1, 7]), digits_program.program, tmp_path / "b.json", page=page, command="bench x"
    )
    report = json.loads(result.path.read_text())
    assert report["schema_version"] == 1
    named = {"command_line", "measured_at", "machine", "workload", "results"}
    assert set(report) == {"schema_version", *named}
    assert report["machine"]["cpu"]
    assert 0 <= report["machine"]["others_cores"] <= report["machine"]["logical_cores"]
    assert report["command_line"] == "bench x"
    assert {r["profile"] for r in report["results"]} == {None}
    assert report["workload"]["model"] == "digits_cnn"
    assert {report["workload"][k] for k in ("dataset", "seed", "steps")} == {"digits", 0, 5}
    assert report["workload"]["trainable_parameters"] == 13706
    cases = [(r["runtime"], r["batch_size"], r["threads"]) for r in report["results"]]
    installed = ["torch", "executorch", *(["native"] if find_runner() else [])]
    assert cases == [(runtime, size, 1) for size in (1, 7) for runtime in installed]
    for r in report["results"]:
        assert len(r["losses"]) == 5
        assert 0 < r["step_ms"]["min"] <= r["step_ms"]["median"] <= r["step_ms"]["p95"]
        assert r["samples_per_s"] == pytest.approx(r["batch_size"] / r["step_ms"]["median"] * 1000)
        assert r["load_ms"] > 0
        assert r["peak_rss_bytes"] >= r["baseline_rss_bytes"] > 0
        assert r["max_loss_rel_error"] <= 1e-4
        assert r["max_gradient_rel_error"] <= 1e-4
    torch, device = report["results"][:2]
    assert (torch["ratio_to_torch"], torch["max_loss_rel_error"]) == (1.0, 0.0)
    assert [r["update"] for r in report["results"][:3]] == ["outside", "in graph", "in graph"][
        : len(installed)
    ]
    assert torch["arena_bytes"] is torch["program_bytes"] is None
    assert device["ratio_to_torch"] == pytest.approx(device["step_ms"]["median"] / torch["step_ms"]["median"])
    assert device["program_bytes"] == sum(
        p.stat().st_size for p in (digits_program.program, digits_program.weights)
    )
    manifest = json.loads(digits_program.manifest.read_text())
    assert device["arena_bytes"] == sum(manifest["contract"]["methods"]["train"]["arena_bytes"])
    assert device["losses"] == pytest.approx(torch["losses"], rel=1e-4)
    assert device["losses"] != torch["losses"] or device["max_loss_rel_error"] == 0
    with Image.open(result.plot) as image:
        image.verify()
        assert image.format == "PNG"
        assert image.width > 1000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.html", "b.json", "b.png"]
    assert f'value="{report["results"][0]["step_ms"]["median"]!r}"' in page.read_text()


@pytest.mark.slow
def test_dropout_and_batch_norm(noisy_program: Any, tmp_path: Path) -> None:
    quiet = bench(
        _config(warmup=0, steps=3), noisy_program.program, tmp_path / "a.json", trusted=noisy_program.trusted
    ).report
    for r in quiet.results:
        assert r.max_loss_rel_error <= 1e-4
        # That of a bias in front of batch norm is zero but for rounding, and off by about itself.
        assert 0 < r.max_gradient_rel_error <= 1e-4
    loud = bench(
        _config(dropout=True, steps=2),
        noisy_program.program,
        tmp_path / "b.json",
        trusted=noisy_program.trusted,
    ).report
    for r in loud.results:
        assert r.max_loss_rel_error is r.max_gradient_rel_error is None
        assert r.ratio_to_torch > 0
    with pytest.raises(InputError, match="confirm with --model"):
        bench(_config(), noisy_program.program, tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()


@pytest.mark.skipif(find_runner() is None, reason="needs the native runner")
def test_native_is_compared_in_batches_of_any_kind(
    regression_program: Any, regression_data: Path, tmp_path: Path
) -> None:
    config = _config(
        data={"name": "arrays", "root": str(regression_data)}, runtimes=["native", "torch"], warmup=0
    )
    native, torch = bench(config, regression_program.program, tmp_path / "b.json").report.results
    assert native.losses == pytest.approx(torch.losses, rel=1e-4)
    assert native.max_gradient_rel_error <= 1e-4
    assert native.peak_rss_bytes < torch.peak_rss_bytes / 8
    config = _config(runtimes=["native"], optimizer={"lr": 1e38})
    with pytest.raises(InputError, match="the model takes"):
        bench(config, regression_program.program, tmp_path / "c.json")


@pytest.mark.skipif(find_runner() is None, reason="needs the native runner")
def test_every_runtime_clips_and_has_groups(digits_program: Any, tmp_path: Path) -> None:
    """The gradients that are compared are those before clipping."""
    optimizer = {"lr": 0.05, "clip_norm": 0.1, "groups": {"classifier.*": 0.5}}
    report = bench(_config(optimizer=optimizer), digits_program.program, tmp_path / "b.json").report
    for result in report.results:
        assert result.update == "outside"
        assert result.max_loss_rel_error <= 1e-4, result.runtime
        assert result.max_gradient_rel_error <= 1e-4, result.runtime


@pytest.mark.skipif(find_kernels() is None, reason="needs the library of kernels")
def test_both_kinds_of_kernels(digits_program: Any, tmp_path: Path) -> None:
    runtimes = ["executorch-stock", "torch", "executorch"]
    report = bench(_config(runtimes=runtimes), digits_program.program, tmp_path / "b.json").report
    stock, torch, fast = report.results
    assert [r.runtime for r in report.results] == runtimes
    assert [r.kernels for r in report.results] == ["stock", None, "fast"]
    assert stock.losses == pytest.approx(torch.losses, rel=1e-4)
    assert fast.losses == pytest.approx(torch.losses, rel=1e-4)
    assert max(stock.max_gradient_rel_error, fast.max_gradient_rel_error) <= 1e-4
    assert fast.step_ms.min < stock.step_ms.min


def test_one_runtime_has_nothing_to_compare(digits_program: Any, tmp_path: Path) -> None:
    report = bench(_config(runtimes=["executorch"]), digits_program.program, tmp_path / "b.json").report
    (only,) = report.results
    assert only.ratio_to_torch is only.max_loss_rel_error is only.max_gradient_rel_error is None


def test_what_does_not_fit(digits_program: Any, tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    for config, kind, message in (
        (_config(batch_sizes=[4, 33, 64]), UsageError, "up to 32, not 33; export with --max-batch-size 64"),
        (_config(batch_sizes=[0]), UsageError, "count from 1"),
        (_config(threads=[1, -1]), UsageError, "count from 1"),
        (
            _config(optimizer={"groups": {"Head.*": 0.1}}),
            UsageError,
            r"--group Head\.\* fits no trainable parameter",
        ),
        (
            _config(data={"name": "digits", "images_per_class": 1}, batch_sizes=[11]),
            UsageError,
            "has 10 samples, too few for a batch of 11",
        ),
        (_config(data={"name": "xor"}), InputError, "the model takes 1x8x8"),
        (
            _config(data={"name": "synthetic", "args": {"shape": [1, 8, 8], "classes": 11}}),
            InputError,
            "the model has 10 classes",
        ),
    ):
        with pytest.raises(kind, match=message):
            bench(config, digits_program.program, path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("runtime", ["executorch", "native"])
def test_a_loss_that_explodes(digits_program: Any, tmp_path: Path, runtime: str) -> None:
    if runtime == "native" and find_runner() is None:
        pytest.skip("needs the native runner")
    config = _config(runtimes=[runtime], optimizer={"lr": 1e38})
    with pytest.raises(CheckFailedError, match="not finite"):
        bench(config, digits_program.program, tmp_path / "b.json")
    assert list(tmp_path.iterdir()) == []
