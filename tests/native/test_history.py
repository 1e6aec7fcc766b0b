"""The history that the runner fills in and saves with weights and state."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.commit import recover
from edgetrain.artifacts.history import History, load_history, save_history
from edgetrain.artifacts.job import Job, save_job
from edgetrain.artifacts.manifest import load_manifest
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.run_state import load_run
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.config.optimizer import OptimizerConfig
from edgetrain.config.stages import FinetuneConfig

Runner = Callable[..., Any]


@pytest.fixture
def job(digits_program: Any, packed: Any, tmp_path: Path) -> Path:
    """A job of which every step is an epoch, with a history to be filled in."""
    few = {name: tensor[:8].clone() for name, tensor in read_tensors(packed.train).tensors().items()}
    data, draft, path = tmp_path / "few.ptd", tmp_path / "draft.json", tmp_path / "job.json"
    write_tensors(data, few)
    metrics = load_manifest(digits_program.manifest).contract.metrics
    save_history(draft, History(runtime="native", device="cpu", threads=0, seed=0, metrics=metrics))
    save_job(
        path,
        Job(
            program=digits_program.program,
            data=[data],
            validation=[data],
            output=Path("out.ptd"),
            history=draft,
            log_steps=True,
            finetune=FinetuneConfig(epochs=1000, batch_size=8),
            optimizer=OptimizerConfig(lr=1e-4),
        ),
    )
    return path


def test_it_is_as_python_writes_it(job: Path, run: Runner, tmp_path: Path) -> None:
    done = run("train", job, "--epochs", 3, "--keep", "best")
    assert done.code == 0
    path = tmp_path / "out.history.json"
    again = tmp_path / "again.json"
    save_history(again, load_history(path))
    found, expected = (json.loads(file.read_text()) for file in (path, again))
    assert list(found) == list(expected)
    assert {**found, "digest": ""} == {**expected, "digest": ""}
    (result,) = done.events("result")
    assert [found[name] for name in ("threads", "best_epoch")] == [result["threads"], result["best_epoch"]]
    assert found["peak_rss_bytes"] == pytest.approx(result["peak_rss_bytes"], rel=0.1)
    assert found["epochs"] == [{k: v for k, v in e.items() if k != "event"} for e in done.events("epoch")]


@pytest.mark.promise("Files that belong together are all the old ones or all the new ones", cases=20)
def test_killed_while_it_saves_weights_state_and_history(
    digits_program: Any, job: Path, runner: Path, run: Runner
) -> None:
    out, chance, seen = job.with_name("out.ptd"), random.Random(0), set()
    for number in range(20):
        words = [str(x) for x in (runner, "train", job, "--lr", 1e-4 * (number + 1))]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        while '"step"' not in process.stdout.readline().decode():
            pass
        time.sleep(chance.random() * 0.3)
        process.kill()
        process.wait()
        process.stdout.close()
        recover(out)
        if not out.exists():
            assert not list(job.parent.glob("out.*"))
            continue
        history = load_history(out.with_suffix(".history.json"))
        saved = load_run(out.with_suffix(".state.ptd"))
        tensors = load_program(digits_program.program, out).tensors()
        assert history.epochs == saved.record.epochs
        assert len(history.epochs) == saved.record.step + 1
        assert all(bool((tensors[name] == tensor).all()) for name, tensor in saved.weights.items())
        rate, step = saved.record.config["optimizer"]["lr"], saved.record.step
        assert {epoch.learning_rate for epoch in history.epochs[1:]} == {rate}
        seen.add((rate, step))
    assert len(seen) > 10  # most were killed after at least one save
    assert run("train", job, "--resume", "--lr", rate, "--epochs", step + 1).code == 0
    assert len(load_history(out.with_suffix(".history.json")).epochs) == step + 2


def test_a_history_that_is_none_is_refused(job: Path, run: Runner) -> None:
    draft = job.with_name("draft.json")
    good = draft.read_text()
    for text in (good.replace("native", "native2"), good.replace("epochs", "epoch"), good[:-9], "[]", ""):
        draft.write_text(text)
        done = run("train", job)
        assert done.code == 3
        assert str(draft) in done.error
    draft.unlink()
    assert run("train", job).code == 3
    draft.write_text(good)
    clash = run("train", job, "--profile", job.with_name("out.history.json"))
    assert (clash.code, "would be written twice" in clash.error) == (2, True)
    assert not list(job.parent.glob("out.*"))
