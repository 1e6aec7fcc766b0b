from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgetrain.artifacts.job import AugmentationRecord, Job, load_job, save_job
from edgetrain.artifacts.kinds import kind_of
from edgetrain.config.stages import FinetuneConfig
from edgetrain.errors import InputError


def _job() -> Job:
    return Job(
        program=Path("model.pte"),
        data=[Path("train.ptd")],
        output=Path("tuned.ptd"),
        augmentation=AugmentationRecord(crop_padding=2, images=["image"], masks={"mask": 255}),
        finetune=FinetuneConfig(accumulate=3),
    )


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    save_job(path, _job())
    assert load_job(path) == _job()
    assert kind_of(path) == "job"
    written = json.loads(path.read_text())
    assert written["kind"] == "edgetrain.job"
    assert written["optimizer"]["clip_norm"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": []}, "data: List should have at least 1 item"),
        ({"finetune": {"epochs": 0}}, "finetune.epochs: Input should be greater than or equal to 1"),
        ({"lr": 0.1}, "lr: Extra inputs are not permitted"),
        ({"schema_version": 2}, "schema_version"),
    ],
)
def test_what_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**json.loads(_job().model_dump_json()), **change}))
    with pytest.raises(InputError, match=message):
        load_job(path)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_job(tmp_path / "job.json")
