"""The runner trains, saves and evaluates as the other runtimes do."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.manifest import load_manifest
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.data import BatchLoader
from edgetrain.data.base import TensorSplit
from edgetrain.runtimes import Session, open_session
from edgetrain.runtimes.stepping import make_stepper

Runner = Callable[..., Any]


def split_of(path: Path) -> TensorSplit:
    tensors = read_tensors(path).tensors()
    return TensorSplit.of(tensors["inputs"], tensors["targets"])


def loader_of(session: Session, path: Path, batch_size: int, **order: Any) -> BatchLoader:
    preprocessing = {name: spec.preprocessing for name, spec in session.manifest.inputs.items()}
    return BatchLoader(split_of(path), preprocessing, batch_size, **order)


def python_losses(
    session: Session, path: Path, steps: int, batch_size: int, lr: float, seed: int
) -> list[float]:
    """What the Python runtime makes of the same run: SGD with momentum 0.9."""
    loader = loader_of(session, path, batch_size, shuffle=True, seed=seed)
    stepper = make_stepper(session, OptimizerConfig(lr=lr))
    losses: list[float] = []
    for epoch in range(1000):
        for batch in loader.epoch(epoch):
            (outcome,) = stepper.step([(batch.inputs, batch.targets)], lr)
            losses.append(outcome.loss)
            if len(losses) == steps:
                return losses
    raise AssertionError("no data")


def python_evaluation(program: Path, weights: Path | None, data: Path) -> float:
    session = open_session("executorch", load_program(program, weights))
    total, count = 0.0, 0
    for batch in loader_of(session, data, session.contract.max_batch_size).epoch(0):
        total += session.evaluate(batch.inputs, batch.targets).loss * len(batch)
        count += len(batch)
    return total / count


def test_losses_are_those_of_python(digits_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    session = open_session("executorch", load_program(digits_program.program))
    expected = python_losses(session, packed.train, 20, 16, 0.05, seed=5)
    out = tmp_path / "tuned.ptd"
    flags = ["--batch-size", 16, "--lr", 0.05, "--max-steps", 20, "--seed", 5, "--log-steps", "--epochs", 9]
    done = run("train", digits_program.program, "--data", packed.train, "-o", out, *flags)
    assert done.code == 0
    assert done.losses == pytest.approx(expected, rel=1e-5)
    tuned, live = read_tensors(out).tensors(), session.changed_tensors()
    for name, tensor in live.items():
        torch.testing.assert_close(tuned[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


def test_dropout_off_and_batch_statistics_as_in_python(
    noisy_program: Any, packed: Any, run: Runner, turn_dropout_off: Callable[[Path], Path], tmp_path: Path
) -> None:
    session = open_session("executorch", load_program(noisy_program.program), dropout=False)
    expected = python_losses(session, packed.train, 10, 8, 0.01, seed=1)
    out = tmp_path / "tuned.ptd"
    flags = ["--batch-size", 8, "--lr", 0.01, "--max-steps", 10, "--seed", 1, "--log-steps"]
    silent = turn_dropout_off(noisy_program.copy_to(tmp_path).program)
    done = run("train", silent, "--data", packed.train, "-o", out, *flags)
    assert done.losses == pytest.approx(expected, rel=1e-4)
    tuned = read_tensors(out).tensors()
    for name, tensor in session.changed_tensors().items():
        torch.testing.assert_close(tuned[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_dropout_follows_the_seed(noisy_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    def losses(seed: int) -> list[float]:
        flags = ["--batch-size", 8, "--max-steps", 5, "--log-steps", "--no-shuffle", "--seed", seed]
        done = run("train", noisy_program.program, "--data", packed.train, "-o", tmp_path / "out.ptd", *flags)
        return done.losses

    first = losses(1)
    assert losses(1) == first
    assert losses(2) != first


def test_saved_weights_give_the_same_loss_everywhere(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "tuned.ptd"
    trained = run(
        "train",
        digits_program.program,
        "--data",
        packed.train,
        "--validation",
        packed.test,
        "-o",
        out,
        "--epochs",
        4,
    )
    assert trained.code == 0
    records = trained.events("epoch")
    assert [r["epoch"] for r in records] == [0, 1, 2, 3, 4]
    assert records[-1]["val_loss"] < records[0]["val_loss"]
    (result,) = trained.events("result")
    (again,) = run("evaluate", digits_program.program, "-w", out, "--data", packed.test).events("result")
    assert again["loss"] == result["val_loss"] == records[-1]["val_loss"]
    assert again["accuracy"] == result["val_accuracy"]
    loss = python_evaluation(digits_program.program, out, packed.test)
    assert loss == pytest.approx(again["loss"], rel=1e-6)


def test_weights_inside_the_program(inline_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    out = tmp_path / "tuned.pte"
    trained = run(
        "train",
        inline_program.program,
        "--data",
        packed.train,
        "--validation",
        packed.test,
        "-o",
        out,
        "--epochs",
        2,
    )
    assert trained.code == 0, trained.error
    (result,) = trained.events("result")
    (again,) = run("evaluate", out, "--data", packed.test).events("result")
    assert again["loss"] == result["val_loss"] < trained.events("epoch")[0]["val_loss"]
    assert python_evaluation(out, None, packed.test) == pytest.approx(again["loss"], rel=1e-6)


def test_regression(regression_program: Any, regression_data: Path, run: Runner, tmp_path: Path) -> None:
    import numpy as np

    arrays = np.load(regression_data)
    data = tmp_path / "data.ptd"
    write_tensors(data, {name: torch.from_numpy(arrays[name]) for name in ("inputs", "targets")})
    trained = run(
        "train", regression_program.program, "--data", data, "--validation", data,
        "-o", tmp_path / "tuned.ptd", "--optimizer", "adam", "--epochs", 5,
    )  # fmt: skip
    records = trained.events("epoch")
    assert records[-1]["val_loss"] < records[0]["val_loss"]
    assert "val_accuracy" not in records[-1]
    assert records[0]["val_loss"] == pytest.approx(
        python_evaluation(regression_program.program, None, data), rel=1e-6
    )


def test_predict_gives_logits_and_labels(digits_program: Any, packed: Any, run: Runner) -> None:
    predictions = run("predict", digits_program.program, "--data", packed.test).events("prediction")
    session = open_session("executorch", load_program(digits_program.program))
    batch = next(loader_of(session, packed.test, 32).epoch(0))
    logits = session.predict(batch.inputs)["output"]
    assert len(predictions) == len(split_of(packed.test))
    for i, row in enumerate(logits):
        assert predictions[i]["outputs"] == pytest.approx(row.tolist(), rel=1e-5, abs=1e-5)
        assert predictions[i]["prediction"] == predictions[i]["class"] == int(row.argmax())
        assert predictions[i]["label"] == str(int(row.argmax()))


def test_no_class_is_predicted_from_nan(digits_program: Any, run: Runner, tmp_path: Path) -> None:
    data = tmp_path / "data.ptd"
    write_tensors(
        data,
        {"inputs": torch.full((3, 1, 8, 8), torch.nan), "targets": torch.zeros(3, dtype=torch.int64)},
    )
    for prediction in run("predict", digits_program.program, "--data", data).events("prediction"):
        assert prediction["prediction"] is prediction["class"] is None
        assert "label" not in prediction


def test_classes_out_of_range_are_refused(digits_program: Any, run: Runner, tmp_path: Path) -> None:
    data, out = tmp_path / "data.ptd", tmp_path / "out.ptd"
    for target, code in ((9, 0), (10, 3), (-1, 3)):
        write_tensors(data, {"inputs": torch.zeros(2, 1, 8, 8), "targets": torch.tensor([0, target])})
        done = run("train", digits_program.program, "--data", data, "-o", out, "--max-steps", 1)
        assert done.code == code
        if code:
            assert f"{data}: sample 1 has targets {target}, the program takes 0 to 9" in done.error


def test_info(digits_program: Any, packed: Any, run: Runner) -> None:
    (program,) = run("info", digits_program.program).events("program")
    manifest = load_manifest(digits_program.manifest)
    assert list(program["trainable"]) == manifest.contract.trainable
    assert program["max_batch_size"] == 32
    assert program["inputs"] == {"inputs": {"shape": [1, 8, 8], "dtype": "float32"}}
    assert program["targets"] == {"targets": {"shape": [], "dtype": "int64"}}
    for method, record in manifest.contract.methods.items():
        assert program["arena_bytes"][method] == record.arena_bytes
    (tensors,) = run("info", packed.train).events("tensors")
    assert tensors["tensors"]["inputs"]["dtype"] == "uint8"
    (weights,) = run("info", digits_program.weights).events("tensors")
    assert weights["pairing"] == manifest.pairing


def test_memory_stays_small(
    digits_program: Any, packed: Any, run: Runner, is_sanitized: bool, tmp_path: Path
) -> None:
    done = run(
        "train", digits_program.program, "--data", packed.train, "-o", tmp_path / "out.ptd", "--epochs", 1
    )
    assert done.code == 0
    if is_sanitized:
        pytest.skip("sanitizers take memory of their own")
    peak = done.events("result")[0]["peak_rss_bytes"]
    assert math.isfinite(peak)
    assert peak < 40e6


TORCH_JOB = """
import sys
import torch
from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.models import build_model
from pathlib import Path

checkpoint = load_checkpoint(Path(sys.argv[1]))
model = build_model(checkpoint.model)
model.load_state_dict(checkpoint.state)
data = read_tensors(Path(sys.argv[2])).tensors()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
for inputs, targets in zip(data["inputs"].split(32), data["targets"].split(32)):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs / 16), targets).backward()
    optimizer.step()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_memory_is_an_eighth_of_pytorchs(
    digits_program: Any, packed: Any, run: Runner, is_sanitized: bool, tmp_path: Path
) -> None:
    if is_sanitized:
        pytest.skip("sanitizers take memory of their own")
    job = [sys.executable, "-c", TORCH_JOB, str(digits_program.checkpoint), str(packed.train)]
    torch_peak = 1024 * int(subprocess.run(job, capture_output=True, text=True, check=True).stdout)
    flags = ["-o", tmp_path / "out.ptd", "--epochs", 1, "--batch-size", 32]
    done = run("train", digits_program.program, "--data", packed.train, *flags)
    assert done.events("result")[0]["peak_rss_bytes"] <= torch_peak / 8


def test_accumulated_batches_make_one_step(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    common = ["train", digits_program.program, "--data", packed.train, "--epochs", 2, "--log-steps"]
    large = run(*common, "-o", tmp_path / "large.ptd", "--batch-size", 32)
    small = run(*common, "-o", tmp_path / "small.ptd", "--batch-size", 8, "--accumulate", 4)
    assert small.losses == pytest.approx(large.losses, rel=1e-4)
    expected = read_tensors(tmp_path / "large.ptd").tensors()
    for name, tensor in read_tensors(tmp_path / "small.ptd").tensors().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-5, msg=name)


def test_groups_have_their_own_learning_rate(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "out.ptd"
    common = ["train", digits_program.program, "--data", packed.train, "-o", out, "--max-steps", 3]
    assert run(*common, "--group", "classifier.2.*=0.02", "--group", "*=0").code == 0
    before, after = (read_tensors(path).tensors() for path in (digits_program.weights, out))
    assert {n for n in after if not torch.equal(before[n], after[n])} == {
        "classifier.2.weight",
        "classifier.2.bias",
    }
    assert run(*common, "--group", "clasifier.*=1").code == 2
