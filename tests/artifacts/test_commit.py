from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgetrain.artifacts.atomic import write_bytes
from edgetrain.artifacts.commit import check_writable, recover, written_together
from edgetrain.artifacts.temporary import SUFFIX, scratch_folder, temporary_folder
from edgetrain.errors import EdgetrainError, InputError

REPLACER = """
import sys
from pathlib import Path
from edgetrain.artifacts.commit import written_together
stem = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in sys.argv[2].encode():
        with written_together(stem) as folder:
            (folder / f"{stem.name}.ptd").write_bytes(bytes([letter]) * 300_000)
            (folder / f"{stem.name}.json").write_bytes(bytes([letter]))
            (folder / f"{stem.name}.history.json").write_bytes(bytes([letter]) * 10)
"""
ONCE = REPLACER.replace("while True:", "for _ in range(5):")


def _write(stem: Path, content: bytes) -> None:
    with written_together(stem) as folder:
        for suffix in (".ptd", ".json"):
            (folder / (stem.name + suffix)).write_bytes(content)


def _hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def _journal(stem: Path, files: object, kind: str = "edgetrain.commit") -> Path:
    path = stem.with_name(f".{stem.name}.edgetrain-commit")
    path.write_text(json.dumps({"kind": kind, "files": files}))
    return path


@pytest.mark.promise("Files that belong together are all the old ones or all the new ones", cases=30)
def test_kill_9_leaves_the_old_files_or_the_new_ones(tmp_path: Path) -> None:
    stem = tmp_path / "model.v1"
    pause, seen = random.Random(0), set()
    for i in range(30):
        letters = ("ab", "ba")[i % 2]
        child = subprocess.Popen([sys.executable, "-c", REPLACER, str(stem), letters], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(pause.uniform(0.005, 0.1))
        child.kill()
        child.wait()
        child.stdout.close()
        recover(stem.with_name("model.v1.ptd"))
        contents = {path.read_bytes()[:1] for path in tmp_path.glob("model.v1.*")}
        assert len(contents) <= 1
        seen |= contents
    assert seen == {b"a", b"b"}
    _write(stem, b"c")
    assert _hidden(tmp_path) == []


@pytest.mark.promise("Files that belong together are all the old ones or all the new ones", cases=30)
def test_processes_that_write_the_same_files_all_succeed(tmp_path: Path) -> None:
    stem = tmp_path / "m"
    children = [subprocess.Popen([sys.executable, "-c", ONCE, str(stem), "ab"]) for _ in range(6)]
    assert [child.wait() for child in children] == [0] * 6
    assert len({path.read_bytes()[:1] for path in tmp_path.glob("m.*")}) == 1
    assert _hidden(tmp_path) == []


def test_an_exception_in_the_block_changes_nothing(tmp_path: Path) -> None:
    _write(tmp_path / "m", b"old")
    with pytest.raises(ZeroDivisionError), written_together(tmp_path / "m") as folder:  # noqa: PT012
        (folder / "m.ptd").write_bytes(b"new")
        raise ZeroDivisionError
    assert (tmp_path / "m.ptd").read_bytes() == b"old"
    assert _hidden(tmp_path) == []


@pytest.mark.promise("Files that belong together are all the old ones or all the new ones", cases=1)
def test_a_journal_is_carried_out_whatever_of_it_was_done(tmp_path: Path) -> None:
    stem = tmp_path / "m"
    _write(stem, b"old")
    hidden = tmp_path / f".m.abcdef12{SUFFIX}"
    hidden.mkdir()
    (hidden / "m.ptd").write_bytes(b"new")  # m.json was moved before the process died
    (tmp_path / "m.json").write_bytes(b"new")
    (hidden / "files").mkdir()
    (hidden / "m.ptd").rename(hidden / "files" / "m.ptd")
    _journal(stem, {name: f"{hidden.name}/files/{name}" for name in ("m.json", "m.ptd")})
    recover(tmp_path / "m.history.json")  # any file of the stem
    assert (tmp_path / "m.ptd").read_bytes() == (tmp_path / "m.json").read_bytes() == b"new"
    assert _hidden(tmp_path) == []


@pytest.mark.promise("Files that belong together are all the old ones or all the new ones", cases=1)
@pytest.mark.parametrize(
    ("target", "source"),
    [
        ("m.ptd", "other.ptd"),
        ("m.ptd", f".m.abcdef{SUFFIX}/.."),
        ("m.ptd", f"../.m.abcdef{SUFFIX}"),
        ("m.ptd", f".m.abcdef{SUFFIX}/a/b/c"),
        ("m.ptd", f".m.abcdef{SUFFIX}//a"),
        ("n.ptd", f".m.abcdef{SUFFIX}"),
        ("m./../../n.ptd", f".m.abcdef{SUFFIX}"),
        ("m.ptd", 3),
    ],
)
def test_a_journal_that_names_anything_else_is_refused(tmp_path: Path, target: str, source: object) -> None:
    (tmp_path / "other.ptd").write_bytes(b"mine")
    (tmp_path / "m.ptd").write_bytes(b"old")
    _journal(tmp_path / "m", {target: source})
    with pytest.raises(InputError, match="is no record of files to be replaced; delete it"):
        recover(tmp_path / "m.ptd")
    with pytest.raises(EdgetrainError, match="delete it"):
        check_writable(tmp_path / "m.ptd")
    assert (tmp_path / "other.ptd").read_bytes() == b"mine"
    assert (tmp_path / "m.ptd").read_bytes() == b"old"


@pytest.mark.promise("What a dead process left is removed, and nothing else", cases=7)
def test_only_what_dead_processes_left_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "o.ptd"
    mine = [".o.ptd.backup", ".o.ptd.abcdef", f".o.ptd.abcdefghi{SUFFIX}", f".other.ptd.abcdef{SUFFIX}"]
    for name in mine:
        (tmp_path / name).write_bytes(b"mine")
    dead = [f".o.ptd.abcdef{SUFFIX}", f".o.ptd.abcdef12{SUFFIX}"]
    for name in dead:
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / f".o.ptd.folder{SUFFIX}").mkdir()
    with temporary_folder(target) as alive:
        check_writable(target)
        assert alive.is_dir()
        assert _hidden(tmp_path) == sorted([*mine, alive.parent.name])


@pytest.mark.promise("What a dead process left is removed, and nothing else", cases=1)
def test_scratch_of_a_dead_process_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = (
        "import os, tempfile, sys; tempfile.tempdir = sys.argv[1]\n"
        "from edgetrain.artifacts.temporary import scratch_folder\n"
        "with scratch_folder() as folder:\n"
        "    (folder / 'samples.ptd').write_bytes(b'0' * 1000)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    with scratch_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder.parent]
    assert list(tmp_path.iterdir()) == []


def test_files_are_replaced_together_inside_of_temporary_folders(tmp_path: Path) -> None:
    """A child or a runner does, while the process that made the folder waits for it."""
    with scratch_folder() as scratch, written_together(tmp_path / "m") as folder:
        for place in (scratch, folder):
            _write(place / "m", b"new")
    assert (tmp_path / "m.ptd").read_bytes() == b"new"
    assert _hidden(tmp_path) == []


@pytest.mark.parametrize("fits", [False, True])
def test_a_full_disk_is_told_by_the_names_that_users_know(small_disk: Path, fits: bool) -> None:
    """Whether a file doesn't fit, or all do and the journal doesn't."""
    path = small_disk / "m.ptd"
    path.write_bytes(b"old")
    with pytest.raises(EdgetrainError) as caught, written_together(small_disk / "m") as folder:  # noqa: PT012
        write_bytes(folder / "m.ptd", bytes(10 if fits else 100_000))
        with pytest.raises(OSError, match="No space"):
            (small_disk / "ballast").write_bytes(bytes(100_000))
    named = path if not fits else small_disk / "m"
    reason = "No space left on device; choose another place with -o"
    assert str(caught.value) == f"can't write {named}: {reason}"
    assert path.read_bytes() == b"old"
    assert _hidden(small_disk) == []


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    try:
        (folder / "m.ptd").write_bytes(b"old")
        _journal(folder / "m", {"m.ptd": f".m.abcdef{SUFFIX}"})
        (folder / f".m.abcdef{SUFFIX}").write_bytes(b"new")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a read-only disk")
def test_what_cannot_be_ended_here_is_said(tmp_path: Path) -> None:
    with _read_only(tmp_path), pytest.raises(InputError, match=r"can't be ended here .*Read-only"):
        recover(tmp_path / "m.ptd")


def test_a_temporary_file_taken_away_is_made_again(tmp_path: Path) -> None:
    """Between its making and its lock another process may take it for abandoned."""
    code = (
        "import sys; from pathlib import Path\n"
        "from edgetrain.artifacts.commit import check_writable\n"
        "while True: check_writable(Path(sys.argv[1]))\n"
    )
    cleaner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "o")])
    try:
        for i in range(300):
            write_bytes(tmp_path / "o", str(i).encode())
            assert (tmp_path / "o").read_bytes() == str(i).encode()
    finally:
        cleaner.kill()
        cleaner.wait()
