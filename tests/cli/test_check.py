"""`edgetrain check`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetrain.checking.report import CheckReport, Compared, RunReport


def compared(error: float = 2e-6) -> Compared:
    return Compared(error=error, from_float32=error, own=1e-7, allowed=1e-4, right=error <= 1e-4)


def report_of(name: str, error: float) -> CheckReport:
    groups = {
        "loss": {"loss of step 1": compared()},
        "gradients": {"a.weight": compared(error), "b.bias": compared()},
    }
    return CheckReport(
        model=name,
        inputs={"inputs": [1, 8, 8, "float32"]},
        task="classification",
        loss="cross_entropy",
        parameters=1234,
        batch_norm="frozen",
        exports=True,
        export_seconds={"captured": 1.5, "written": 0.5},
        operators=["aten::mm.out", "aten::flip.out"],
        stock_operators=["aten::flip.out"],
        runs=[RunReport(runtime="native", kernels="fast", batch_size=4, steps=5, groups=groups)],
        step_ms={"torch": 2.0, "native": 1.0},
        arena_bytes={"train": 123_000},
        notes=["something was left out"],
    )


@pytest.fixture
def calls(fake_stage, folder):
    calls = []

    def check(config, checkpoint, *, reporter):
        calls.append(SimpleNamespace(config=config, checkpoint=checkpoint))
        if config.model.name == "cnn1d":
            refused = {"exports": False, "reason": "no kernel", "runs": [], "step_ms": {}}
            return report_of("cnn1d", 0.0).model_copy(update=refused)
        return report_of(config.model.name, 0.5 if config.model.name == "mlp" else 1e-6)

    fake_stage("checking", check=check)
    return calls


def test_table(run, calls):
    ran = run(
        "check", "digits_cnn", "--input-shape", "1,8,8", "--model-arg", "num_classes=7", "--batch-size", "2"
    )
    assert ran.code == 0, ran.stderr
    (call,) = calls
    assert (call.config.model.name, call.config.model.args) == ("digits_cnn", {"num_classes": 7})
    assert (call.config.check.input_shape, call.config.check.batch_size) == (["1,8,8"], 2)
    assert call.checkpoint is None
    for text in ("right", "1,234", "2, on ExecuTorch's kernels: aten::flip.out", "0.5 of PyTorch's time"):
        assert text in ran.stdout
    for text in (
        "inputs float32 [1, 8, 8]",
        "captured 1.5",
        "train 0.123 MB",
        "something was left out",
        "gradients 2e-06",
    ):
        assert text in ran.stdout


def test_what_is_wrong_ends_with_4(run, calls):
    ran = run("check", "mlp", "--input-shape", "6")
    assert ran.code == 4
    assert "mlp: WRONG" in ran.stdout
    assert "gradients 0.5 WRONG (a.weight, allowed 0.0001)" in ran.stdout
    assert ran.stdout.splitlines()[-2].split() == ["a.weight", "0.5", "1e-07", "0.0001"]
    ran = run("check", "cnn1d", "--input-shape", "6,4")
    assert ran.code == 4
    assert "can't be trained on a device" in ran.stdout
    assert "no kernel" in ran.stdout


def test_json(run, calls):
    ran = run("check", "mlp", "--input-shape", "6", "--json")
    found = json.loads(ran.stdout)
    assert (ran.code, found["command"], found["right"], found["ratio"]) == (4, "check", False, 0.5)
    assert found["runs"][0]["groups"]["gradients"]["a.weight"]["error"] == 0.5
    CheckReport.model_validate({k: v for k, v in found.items() if k in CheckReport.model_fields})


def test_checkpoints(run, calls, stand_in, folder):
    stand_in("net.pth", "checkpoint")
    (folder / "somebody.py").touch()
    assert run("check", "net.pth", "--model", "somebody:net").code == 0
    assert calls[0].checkpoint == Path("net.pth")
    assert calls[0].config.model.name == "somebody:net"
    ran = run("check", "missing.pth")
    assert (ran.code, "does not exist" in ran.stderr) == (3, True)


def test_mistakes(run, calls):
    ran = run("check", "mlp", "--model", "cnn1d")
    assert (ran.code, ran.stderr) == (2, "error: check takes one model; name mlp or cnn1d\n")
    ran = run("check", "mlp", "--input-shape", "3x4")
    assert ran.code == 2
    assert "must be lengths such as 3,32,32" in ran.stderr
    assert not calls
