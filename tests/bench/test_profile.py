"""Operators' times: which calls, of which part of a step, by whose kernels."""

from __future__ import annotations

import contextlib
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint, save_checkpoint
from edgetrain.artifacts.etdump import read_runs
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.bench import bench
from edgetrain.bench.native_worker import NativeWorker
from edgetrain.bench.profile import Profile, TimedCall, profile_of_etdump, sum_up
from edgetrain.bench.worker import Worker
from edgetrain.bench.workload import Batches, Workload, save_batches
from edgetrain.config.model import ModelConfig
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.config.stages import BenchCommand, ExportCommand
from edgetrain.errors import CheckFailedError, InputError
from edgetrain.export import export
from edgetrain.factories import NOTHING, Trusted
from edgetrain.runner import find_kernels, find_runner
from edgetrain.runtimes.executorch_py import ExecutorchSession


def _profile(runtime: str, program: Path, folder: Path) -> Profile:
    """Of three steps, in this process but for the native runner's."""
    inputs, targets = torch.randn(4, 6, 1, 8, 8), torch.arange(24).reshape(4, 6) % 10
    save_batches(folder / "batches.pt", Batches({INPUTS: inputs}, {TARGETS: targets}))
    workload = Workload(program, None, folder / "batches.pt", OptimizerConfig(lr=0.01), False, 1, NOTHING)
    if runtime != "native":
        return Worker(runtime, None, workload, profiled=True).profile(3)
    with contextlib.closing(NativeWorker(workload, profiled=4)) as worker:
        return worker.profile(3)


def _calls(profile: Profile, name: str) -> dict[str, float]:
    """Of an operator in any of its overloads, by part."""
    found: dict[str, float] = {}
    for o in profile.operators:
        if o.operator.partition("::")[2].partition(".")[0] == name:
            found[o.part] = found.get(o.part, 0) + o.calls
    return found


def test_every_runtime(digits_program: Any, tmp_path: Path) -> None:
    """digits_cnn has two convolutions, two linear layers and eight parameters."""
    native = ["native"] if find_runner() else []
    runtimes = ("torch", "executorch", *native)
    found = {runtime: _profile(runtime, digits_program.program, tmp_path) for runtime in runtimes}
    for runtime, profile in found.items():
        assert profile.steps == 3
        assert 0 < profile.operators_ms == pytest.approx(sum(o.ms for o in profile.operators))
        assert sum(o.share for o in profile.operators) == pytest.approx(1)
        assert [o.ms for o in profile.operators] == sorted((o.ms for o in profile.operators), reverse=True)
        assert _calls(profile, "convolution")["forward"] == 2
        assert _calls(profile, "convolution_backward") == {"backward": 2}
        kernels = {o.kernel for o in profile.operators}
        if runtime == "torch" or find_kernels() is not None:
            # Of what looks at shapes there is no kernel of ours.
            assert kernels == ({"torch"} if runtime == "torch" else {"edgetrain", "executorch"})
        assert {o.part for o in profile.operators} == {"forward", "backward", "update"}
    assert _calls(found["torch"], "addmm") == {"forward": 2}
    for runtime in ("executorch", *native):
        profile = found[runtime]
        assert _calls(profile, "linear") == {"forward": 2}
        # The weights of the linear layers go straight into the optimizer's state.
        assert _calls(profile, "addmm") == {"backward": 2}
        assert _calls(profile, "sub")["update"] == 8
    if native:
        calls = [
            {(o.operator, o.part): o.calls for o in found[r].operators} for r in ("executorch", "native")
        ]
        assert calls[0] == calls[1]


@pytest.mark.thorough
def test_a_backbone_in_parts(digits_program: Any, tmp_path: Path) -> None:
    """A batch of 6 is two parts, each a run of the backbone and of `train`, and one of `update`."""
    settings = {"trainable": ["classifier.*"], "backbone": "xnnpack", "micro_batch": 4, "max_batch_size": 8}
    config = ExportCommand.model_validate({"export": settings})
    program = export(config, digits_program.checkpoint, tmp_path / "model").program
    profile = _profile("executorch", program, tmp_path)
    backend = [o for o in profile.operators if o.operator == "XnnpackBackend"]
    assert [(o.kernel, o.part, o.calls) for o in backend] == [("delegate", "forward", 2)]
    assert _calls(profile, "linear") == {"forward": 4}
    assert _calls(profile, "convolution_backward") == {}
    assert _calls(profile, "sub")["update"] == 4


@pytest.mark.thorough
def test_with_random_numbers_fixed(
    digits_program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a program runs other operators than its file has."""
    code = """
        from torch import nn

        def make(num_classes=10):
            return nn.Sequential(nn.Dropout2d(0.5), nn.Flatten(), nn.Linear(64, num_classes))
    """
    (tmp_path / "edgetrain_test_drops.py").write_text(textwrap.dedent(code))
    monkeypatch.syspath_prepend(str(tmp_path))
    trusted = Trusted(model="edgetrain_test_drops:make")
    checkpoint = load_checkpoint(digits_program.checkpoint)
    checkpoint.model = ModelConfig(name="edgetrain_test_drops:make", args={"num_classes": 10})
    checkpoint.state = {"2.weight": torch.randn(10, 64), "2.bias": torch.zeros(10)}
    save_checkpoint(tmp_path / "model.pth", checkpoint)
    program = export(ExportCommand(), tmp_path / "model.pth", tmp_path / "model", trusted=trusted).program
    for runtime in ("executorch", *(["native"] if find_runner() else [])):
        profile = _profile(runtime, program, tmp_path)
        assert _calls(profile, "slice_copy") == {"forward": 1}
        assert _calls(profile, "rand") == {}


def test_an_update_outside_is_no_operator(digits_program: Any, tmp_path: Path) -> None:
    config = BenchCommand.model_validate(
        {
            "data": {"name": "digits", "images_per_class": 5},
            "optimizer": {"lr": 0.01, "clip_norm": 1.0},
            "bench": {"steps": 3, "profile": True, "runtimes": ["native" if find_runner() else "executorch"]},
        }
    )
    (result,) = bench(config, digits_program.program, tmp_path / "b.json").report.results
    profile = result.profile
    assert profile is not None
    assert json.loads((tmp_path / "b.json").read_text())["results"][0]["profile"] == profile.model_dump()
    assert {o.part for o in profile.operators} == {"forward", "backward"}
    assert _calls(profile, "mm") == {"backward": 4}


def test_medians_over_steps() -> None:
    def step(*seconds: float) -> list[TimedCall]:
        return [TimedCall("aten::mm.out", "edgetrain", "forward", s) for s in seconds]

    other = TimedCall("aten::add.out", "executorch", "update", 1e-3)
    found = sum_up([[*step(1e-3, 2e-3), other], [*step(4e-3, 5e-3), other], [*step(9, 9), other]], [1, 2, 9])
    assert (found.steps, found.step_ms) == (3, 2000)
    product, sum_ = found.operators
    assert (product.calls, product.ms, product.share) == (2, pytest.approx(9), pytest.approx(0.9))
    assert (sum_.operator, sum_.calls, sum_.ms) == ("aten::add.out", 1, pytest.approx(1))
    assert found.operators_ms == pytest.approx(10)


def test_an_etdump_of_something_else(digits_program: Any, inline_program: Any, tmp_path: Path) -> None:
    dump = tmp_path / "x.etdp"
    session = ExecutorchSession(load_program(inline_program.program), profiled=True)
    session.save_profile(dump)
    assert [len(run) for run in read_runs(dump)] == [1]  # the weights were read
    program = load_program(digits_program.program)
    data, contract = program.path.read_bytes(), program.manifest.contract
    with pytest.raises(CheckFailedError, match="0 runs of the program's methods, which are no 3 steps"):
        profile_of_etdump(dump, data, contract, [0.1] * 3)
    whole = dump.read_bytes()
    for damaged in (b"", whole[:40], b"\xff" * len(whole)):
        dump.write_bytes(damaged)
        with pytest.raises(InputError, match="no etdump, or a damaged one"):
            read_runs(dump)
