"""The runner's flags and jobs are the configuration's: names, defaults, bounds, help."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from edgetrain.artifacts.job import AugmentationRecord, Job, save_job
from edgetrain.artifacts.run_state import load_run
from edgetrain.config.data import DataConfig
from edgetrain.config.native_table import make_table
from edgetrain.config.optimizer import OptimizerConfig, ScheduleConfig
from edgetrain.config.stages import FinetuneConfig

Runner = Callable[..., Any]
SECTIONS = {"finetune": FinetuneConfig, "optimizer": OptimizerConfig, "schedule": ScheduleConfig}
FLAGS = {
    f"{section}.{key}": flag
    for section, key, flag in re.findall(r'SETTING\("(\w+)", "(\w+)", "([\w-]+)"', make_table())
}
# As a job has them: what is usual for a data set is said there already.
JOB_SECTIONS: dict[str, type[BaseModel]] = {**SECTIONS, "augmentation": AugmentationRecord}
# Of each setting, values of which some are within its bounds and some are not.
NUMBERS = [-1, 0, 1e-9, 0.5, 0.9999999, 1, 1.5, 2, 1024, 1025, 10**9, 10**9 + 1]
WORDS = ["sgd", "adamw", "cosine", "step", "full", "delta", "", "lion"]


def probes() -> Iterator[tuple[str, str, Any]]:
    for key in FLAGS:
        section, name = key.split(".")
        kind = str(JOB_SECTIONS[section].model_fields[name].annotation)
        if "Literal" in kind:
            yield from ((section, name, value) for value in WORDS)
        elif "dict" in kind:
            yield from ((section, name, {"head.*": value}) for value in NUMBERS)
        elif "bool" not in kind:
            yield from ((section, name, value) for value in NUMBERS)


def accepted(section: str, name: str, value: Any) -> bool:
    """Whether the configuration takes a value, read as YAML has it."""
    whole = "int" in str(JOB_SECTIONS[section].model_fields[name].annotation)
    if whole and isinstance(value, float):
        return False
    try:
        JOB_SECTIONS[section].model_validate({name: value})
    except ValidationError:
        return False
    return True


@pytest.fixture(scope="module")
def job(digits_program: Any, packed: Any, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    settings = FinetuneConfig(max_steps=1, batch_size=4)
    return Job(
        program=digits_program.program, data=[packed.train], output=folder / "o.ptd", finetune=settings
    )


@pytest.fixture(scope="module")
def text(job: Job, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """That job as it is written."""
    path = tmp_path_factory.mktemp("text") / "job.json"
    save_job(path, job)
    return json.loads(path.read_text())


def test_help_names_every_setting(runner: Path) -> None:
    text = subprocess.run([runner, "train", "--help"], capture_output=True, text=True, check=True).stdout
    for key, flag in FLAGS.items():
        section, name = key.split(".")
        (line,) = [line for line in text.splitlines() if re.search(rf"--(\[no-\])?{flag}( |$)", line)]
        # In Python a data set says what is usual for its images; a device has no such default.
        described = DataConfig if section == "augmentation" else SECTIONS[section]
        help_text = described.model_fields[name].description or ""
        assert help_text.removesuffix("; default: as usual for the data set") in line
        field = JOB_SECTIONS[section].model_fields[name]
        default = field.get_default(call_default_factory=True, validated_data={})
        if default not in (None, {}):
            assert line.endswith(f"({str(default).lower() if isinstance(default, bool) else default})")


def test_bounds_are_the_configurations(runner: Path, text: dict[str, Any], tmp_path: Path) -> None:
    """Of a job; flags take the same way. What is accepted is refused later: there is no such program."""
    wrong = []
    text = {**text, "program": str(tmp_path / "missing.pte")}
    path = tmp_path / "job.json"
    for section, name, value in probes():
        path.write_text(json.dumps({**text, section: {name: value}}))
        done = subprocess.run([runner, "train", path], capture_output=True, text=True)
        assert done.returncode == 3, done.stderr
        if accepted(section, name, value) != ("missing.pte" in done.stderr):
            wrong.append(f"{section}.{name} = {value!r}: {done.stderr}")
    assert not wrong, "\n".join(wrong)


def test_rules_across_settings(run: Runner, text: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    for name in ("sgd", "adam"):
        for momentum in (0.9, 0):
            for dampening in (0, 0.5):
                chosen = {"name": name, "momentum": momentum, "dampening": dampening, "nesterov": True}
                path.write_text(json.dumps({**text, "optimizer": chosen}))
                allowed = accepted_together(chosen)
                assert (run("train", path).code == 0) == allowed, chosen


def accepted_together(optimizer: dict[str, Any]) -> bool:
    try:
        OptimizerConfig.model_validate(optimizer)
    except ValidationError:
        return False
    return True


def test_a_job_is_what_its_flags_say(
    run: Runner, job: Job, digits_program: Any, packed: Any, tmp_path: Path
) -> None:
    full = job.model_copy(
        update={
            "output": Path("by_job.ptd"),
            "validation": [packed.test],
            "log_steps": True,
            "finetune": FinetuneConfig(max_steps=9, batch_size=8, accumulate=2, seed=4, epochs=3),
            "optimizer": OptimizerConfig(
                name="adamw", lr=0.002, clip_norm=1.0, groups={"classifier.*": 0.01, "*": 0.001}
            ),
            "schedule": ScheduleConfig(name="cosine", warmup_steps=2),
        }
    )
    save_job(tmp_path / "job.json", full)
    by_job = run("train", tmp_path / "job.json", cwd="/")
    assert by_job.code == 0, by_job.error
    by_flags = run(
        "train", digits_program.program, "--data", packed.train, "--validation", packed.test,
        "-o", tmp_path / "by_flags.ptd", "--log-steps", "--max-steps", 9, "-b", 8, "--accumulate", 2, "-s", 4,
        "-e", 3, "--optimizer", "adamw", "--lr", 0.002, "--clip-norm", 1, "--group", "classifier.*=0.01",
        "--group", "*=0.001", "--schedule", "cosine", "--warmup-steps", 2,
    )  # fmt: skip
    assert by_flags.losses == by_job.losses
    assert (tmp_path / "by_flags.ptd").read_bytes() == (tmp_path / "by_job.ptd").read_bytes()
    states = [load_run(tmp_path / f"{name}.state.ptd") for name in ("by_job", "by_flags")]
    for section in SECTIONS:
        assert states[0].record.config[section] == states[1].record.config[section]
    resolved = full.optimizer.model_dump()
    assert states[0].record.config["optimizer"] == resolved

    fewer = run("train", tmp_path / "job.json", "--max-steps", 2, "-o", tmp_path / "fewer.ptd")
    assert fewer.losses != by_job.losses
    assert len(fewer.losses) == 2


def test_a_job_goes_on(run: Runner, job: Job, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    save_job(path, job.model_copy(update={"output": Path("out.ptd")}))
    assert run("train", path).code == 0
    finetune = job.finetune.model_copy(update={"max_steps": 3})
    save_job(path, job.model_copy(update={"output": Path("out.ptd"), "resume": True, "finetune": finetune}))
    assert run("train", path).events("result")[0]["steps"] == 3
    other = job.model_copy(
        update={"output": Path("out.ptd"), "resume": True, "optimizer": OptimizerConfig(lr=1)}
    )
    save_job(path, other)
    refused = run("train", path)
    assert (refused.code, "--lr (was 0.01, now 1)" in refused.error) == (2, True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "edgetrain.other"}, "another schema"),
        ({"schema_version": 2}, "another schema"),
        ({"extra": 1}, "extra is unknown"),
        ({"finetune": {"epoch": 1}}, "there is no setting finetune.epoch"),
        ({"optimizer": {"lr": "0.1"}}, "optimizer.lr must be a number greater than 0"),
        ({"optimizer": {"groups": {"a": -1}}}, "optimizer.groups must be at least 0"),
        ({"optimizer": {"lr": None}}, "optimizer.lr must be"),
        ({"data": [1]}, "a name is no text"),
        ({"preprocessing": {"inputs": {"scale": 1, "mean": [0], "std": [0]}}}, "preprocessing can't be used"),
    ],
    ids=str,
)
def test_wrong_jobs(
    run: Runner, text: dict[str, Any], tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**text, **change}))
    done = run("train", path)
    assert (done.code, reason in done.error) == (3, True), done.error
    assert str(path) in done.error
