from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from edgetrain.artifacts.atomic import atomic_writer, write_bytes, write_text
from edgetrain.artifacts.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgetrain.artifacts.commit import check_writable
from edgetrain.artifacts.specs import InputSpec, TaskSpec
from edgetrain.config.model import ModelConfig
from edgetrain.errors import EdgetrainError

PROMISE = "A file that is written is the old one or the new one after kill -9 or a full disk"
REPLACER = """
import sys
from pathlib import Path
from edgetrain.artifacts.atomic import write_bytes
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in b"ab":
        write_bytes(path, bytes([letter]) * 3_000_000)
"""


@pytest.mark.promise(PROMISE, cases=20)
def test_kill_9_leaves_old_or_new_file(tmp_path: Path) -> None:
    path = tmp_path / "out.bin"
    write_bytes(path, b"a" * 3_000_000)
    pause = random.Random(0)
    seen = set()
    for _ in range(20):
        child = subprocess.Popen([sys.executable, "-c", REPLACER, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(pause.uniform(0, 0.05))
        child.kill()
        child.wait()
        content = path.read_bytes()
        assert len(content) == 3_000_000
        assert len(set(content)) == 1
        seen.add(content[:1])
    assert seen == {b"a", b"b"}


def test_new_file_is_readable_as_usual_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.txt"
    write_text(path, "grüße")
    assert path.read_bytes() == "grüße".encode()
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert list(path.parent.iterdir()) == [path]


def test_an_exception_in_the_block_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), atomic_writer(path) as file:  # noqa: PT012
        file.write(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.promise(PROMISE, cases=1)
def test_full_disk_keeps_the_old_file(small_disk: Path) -> None:
    path = small_disk / "out"
    path.write_bytes(b"old")
    with pytest.raises(EdgetrainError, match="No space left") as caught:
        write_bytes(path, bytes(200_000))
    assert caught.value.exit_code == 1
    assert path.read_bytes() == b"old"
    assert list(small_disk.iterdir()) == [path]


@pytest.mark.promise(PROMISE, cases=1)
@pytest.mark.parametrize("left", [0, 8000])
def test_full_disk_under_a_checkpoint(small_disk: Path, left: int) -> None:
    """torch.save writes in its own way, and fails at the start or in the middle."""
    (small_disk / "ballast").write_bytes(bytes(65536 - left))
    path = small_disk / "model.pth"
    checkpoint = Checkpoint(
        ModelConfig(name="mlp"),
        {"w": torch.ones(10_000)},
        {"inputs": InputSpec(shape=(3,))},
        TaskSpec(name="classification", loss="cross_entropy"),
    )
    with pytest.raises(EdgetrainError, match=r"can't write .*model\.pth: No space left on device"):
        save_checkpoint(path, checkpoint)
    assert [p.name for p in small_disk.iterdir()] == ["ballast"]
    (small_disk / "ballast").unlink()
    save_checkpoint(path, checkpoint)
    assert torch.equal(load_checkpoint(path).state["w"], torch.ones(10_000))


@pytest.mark.promise("Where nothing can be written, a command says so before it works")
def test_unwritable_places(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "out", Path("/proc/nothing/out"), Path("/proc/out")):
        with pytest.raises(EdgetrainError, match=r"can't write .*: (No such|Not a|File exists)") as caught:
            check_writable(path)
        assert caught.value.exit_code == 1
        with pytest.raises(EdgetrainError, match="can't write"):
            write_bytes(path, b"x")
    with pytest.raises(EdgetrainError, match="is a folder"):
        write_bytes(tmp_path, b"x")
    check_writable(tmp_path / "fine")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
