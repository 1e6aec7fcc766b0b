from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgetrain.artifacts.history import EpochRecord
from edgetrain.artifacts.kinds import kind_of
from edgetrain.artifacts.run_state import RunRecord, SavedRun, load_run, save_run
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.errors import InputError


def _run() -> SavedRun:
    record = RunRecord(
        runtime="torch",
        source={"program": "a", "weights": "", "data": "b"},
        config={"optimizer": {"lr": 0.1}},
        total_steps=20,
        epoch=1,
        batch=2,
        step=9,
        optimizer_steps=9,
        samples=30,
        sums={"loss_sum": [1 / 3], "intersection": [1.0, 2.0]},
        train_time_s=0.5,
        epochs=[EpochRecord(epoch=0).with_figures("val", {"loss": 2.0, "mean_iou": 0.25})],
    )
    weights = {"w": torch.tensor([1 / 3, -2.0]), "steps": torch.tensor(7)}
    return SavedRun(record, weights, {"w": torch.ones(2)}, {}, torch.arange(5, dtype=torch.uint8))


def test_round_trip(tmp_path: Path) -> None:
    path, run = tmp_path / "t.state.ptd", _run()
    save_run(path, run)
    found = load_run(path)
    assert found.record == run.record
    assert found.record.epochs[0].figure("val", "mean_iou") == 0.25
    assert torch.equal(found.weights["w"], run.weights["w"])
    assert found.weights["steps"].shape == ()
    assert (list(found.first), found.second) == (["w"], {})
    assert found.random is not None
    assert found.random.tolist() == [0, 1, 2, 3, 4]


def test_it_is_a_ptd_with_names_of_its_own(tmp_path: Path) -> None:
    """What the native library reads, too."""
    path = tmp_path / "t.state.ptd"
    save_run(path, _run())
    file = read_tensors(path)
    assert list(file.entries) == ["weights/w", "weights/steps", "optimizer.first/w", "random/cpu"]
    assert list(file.metadata) == ["edgetrain.state"]
    assert file.digest_offset is not None
    assert kind_of(path) == "state of a fine-tuning run"


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing to resume: .* fine-tune without --resume"):
        load_run(tmp_path / "t.state.ptd")


def test_something_else(tmp_path: Path) -> None:
    path = tmp_path / "t.state.ptd"
    write_tensors(path, {"w": torch.ones(2)})
    assert kind_of(path) == "file of weights"
    for content in (path.read_bytes(), b"", b"....FT01"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="no usable state of a fine-tuning run; start anew"):
            load_run(path)


def test_a_record_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "t.state.ptd"
    text = _run().record.model_dump_json().replace('"schema_version":1', '"schema_version":2')
    write_tensors(path, {"weights/w": torch.ones(2)}, metadata={"edgetrain.state": text.encode()})
    with pytest.raises(InputError, match="no usable state"):
        load_run(path)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_damage(tmp_path: Path, place: float) -> None:
    path = tmp_path / "t.state.ptd"
    save_run(path, _run())
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="no usable state"):
        load_run(path)
    path.write_bytes(content[: int(place * len(content))])
    with pytest.raises(InputError, match="no usable state"):
        load_run(path)
