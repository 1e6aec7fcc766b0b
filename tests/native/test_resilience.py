"""Interrupted, damaged, short of disk: what is on disk is always whole, and what is wrong is said."""

from __future__ import annotations

import fcntl
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetrain.artifacts.manifest import file_record, load_manifest, save_manifest
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.sealed import sealed
from edgetrain.artifacts.tensor_stream import DIGEST_KEY
from edgetrain.artifacts.tensors import read_tensors, write_tensors

Runner = Callable[..., Any]


@pytest.mark.promise("A resumed run is bit for bit the run without interruption", cases=1)
@pytest.mark.parametrize(
    "flags",
    [
        ["--momentum", 0.9],
        ["--optimizer", "adamw", "--warmup-steps", 2],
        ["--group", "head.*=0.1", "--group", "*=0.001", "--accumulate", 3, "--flip", "--crop-padding", 1],
    ],
    ids=str,
)
@pytest.mark.parametrize("cut", [4, 7])
def test_resumed_runs_are_bitwise_the_same(
    noisy_program: Any, packed: Any, run: Runner, tmp_path: Path, flags: list[Any], cut: int
) -> None:
    """With dropout and running statistics, in the middle of an epoch. A cosine schedule depends on the length
    of the run, so that run is cut by a signal in another test."""
    whole, parts = tmp_path / "whole.ptd", tmp_path / "parts.ptd"
    common = [
        noisy_program.program,
        "--data",
        packed.train,
        "--batch-size",
        8,
        "--seed",
        3,
        "--log-steps",
        *flags,
    ]
    at_once = run("train", *common, "-o", whole, "--max-steps", 10)
    first = run("train", *common, "-o", parts, "--max-steps", cut)
    second = run("train", *common, "-o", parts, "--max-steps", 10, "--resume")
    assert [r.code for r in (at_once, first, second)] == [0, 0, 0], second.error
    assert first.losses + second.losses == at_once.losses
    assert parts.read_bytes() == whole.read_bytes()
    assert second.events("epoch")[-1]["train_loss"] == at_once.events("epoch")[-1]["train_loss"]


@pytest.mark.promise("Ctrl-C and SIGTERM save what there is, or leave nothing behind")
def test_a_signal_finishes_the_step_and_saves(
    digits_program: Any, packed: Any, runner: Path, run: Runner, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole.ptd", tmp_path / "parts.ptd"
    common = [
        digits_program.program,
        "--data",
        packed.train,
        "--batch-size",
        2,
        "--schedule",
        "cosine",
        "--epochs",
        2,
    ]
    assert run("train", *common, "-o", whole).code == 0
    command = [str(x) for x in (runner, "train", *common, "-o", parts, "--log-steps")]
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while '"step"' not in process.stdout.readline():
            pass
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "go on with --resume" in said
        if "--resume" not in command:
            command.append("--resume")
    assert run("train", *common, "-o", parts, "--resume").code == 0
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("command", ["evaluate", "predict"])
@pytest.mark.promise("Ctrl-C and SIGTERM save what there is, or leave nothing behind")
def test_a_signal_ends_other_commands(
    digits_program: Any, packed: Any, runner: Path, tmp_path: Path, command: str
) -> None:
    tensors = read_tensors(packed.test).tensors()
    data = tmp_path / "data.ptd"
    write_tensors(
        data, {name: tensor.repeat(200, *[1] * (tensor.dim() - 1)) for name, tensor in tensors.items()}
    )
    words = [runner, command, digits_program.program, "--data", data, "--batch-size", 1]
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [str(x) for x in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while process.poll() is None and catches(process.pid, number) is False:
            time.sleep(0.001)
        process.send_signal(number)
        lines, said = process.communicate(timeout=60)
        assert process.returncode == 130
        assert said.splitlines()[-1] == "edgetrain-runner: stopped by a signal"
        assert len(lines.splitlines()) < 200 * len(tensors["targets"])


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_data_that_is_cut_short_meanwhile_is_named(
    digits_program: Any, packed: Any, runner: Path, tmp_path: Path
) -> None:
    """Mapped pages behind a file's end raise SIGBUS."""
    data, out = tmp_path / "my data.ptd", tmp_path / "out.ptd"
    shutil.copy(packed.train, data)
    words = [runner, "train", digits_program.program, "--data", data, "-o", out]
    words += ["--save-every", 1, "--epochs", 100_000]
    process = subprocess.Popen(
        [str(x) for x in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("epoch") == 2:  # the first one is saved by then
            break
    os.truncate(data, 5000)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3, said[-300:]
    line = said.splitlines()[-1]
    assert line == (
        f"edgetrain-runner: {data} was cut short, or can't be read any more; what was saved before is whole"
    )
    assert out.exists()


def catches(process: int, number: int) -> bool:
    """Whether a process catches a signal."""
    status = Path(f"/proc/{process}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(mask, 16) >> (number - 1) & 1)


@pytest.mark.promise("Ctrl-C and SIGTERM save what there is, or leave nothing behind")
def test_a_signal_ends_validation_and_saves(
    digits_program: Any, packed: Any, runner: Path, run: Runner, tmp_path: Path
) -> None:
    tensors = read_tensors(packed.test).tensors()
    data, out = tmp_path / "data.ptd", tmp_path / "out.ptd"
    write_tensors(
        data, {name: tensor.repeat(800, *[1] * (tensor.dim() - 1)) for name, tensor in tensors.items()}
    )
    common = ["train", digits_program.program, "--data", packed.train, "--validation", data, "-o", out]
    common += ["--epochs", 1, "--batch-size", 32, "--log-steps"]
    process = subprocess.Popen(
        [str(x) for x in (runner, *common)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        record = json.loads(line)
        if record["event"] == "step" and record["step"] == record["of"]:
            break
    process.send_signal(signal.SIGTERM)
    rest, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on with --resume" in said
    assert json.loads(rest.splitlines()[-1])["val_loss"] is None
    assert run("info", out).code == 0


def test_other_settings_are_refused(digits_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    common = [
        "train",
        digits_program.program,
        "--data",
        packed.train,
        "-o",
        tmp_path / "out.ptd",
        "--max-steps",
        2,
    ]
    assert run(*common).code == 0
    other = run(*common, "--resume", "--lr", 0.5, "--seed", 4)
    assert other.code == 2
    assert "--lr (was 0.01, now 0.5)" in other.error
    assert "--seed" in other.error
    data = run(*common[:2], "--data", packed.test, *common[4:], "--resume")
    assert (data.code, "the data" in data.error) == (2, True)
    nothing = run(*common[:4], "-o", tmp_path / "new.ptd", "--resume")
    assert (nothing.code, "nothing to resume" in nothing.error) == (3, True)


def test_not_finite_keeps_the_last_good_weights(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "out.ptd"
    common = ["train", digits_program.program, "--data", packed.train, "-o", out]
    failed = run(*common, "--lr", 1e20)
    assert failed.code == 4
    assert "no new weights were written" in failed.error
    assert not out.exists()
    assert run(*common, "--epochs", 1).code == 0
    good = out.read_bytes()
    assert run(*common, "--lr", 1e20).code == 4
    assert out.read_bytes() == good
    growing = [*common, "--lr", 1e20, "--batch-size", 8, "--warmup-steps", 10_000, "--schedule", "cosine"]
    saved = run(*growing, "--save-every", 1)
    assert (saved.code, "holds the weights saved last" in saved.error) == (4, True)
    resumed = run(*growing, "--resume")
    assert (resumed.code, "holds the weights saved last" in resumed.error) == (4, True)


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))


def test_a_full_disk_leaves_the_old_file(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "out.ptd"
    common = ["train", digits_program.program, "--data", packed.train, "-o", out, "--max-steps", 2]
    assert run(*common).code == 0
    old = out.read_bytes()
    full = run(*common, "--seed", 9, preexec_fn=limit_files)
    assert full.code == 1
    assert f"can't write {out}" in full.error
    assert out.read_bytes() == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ptd", "out.state.ptd"]


def test_a_lost_profile_hides_no_other_failure(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    dump = tmp_path / "dump.etdp"
    common = ["train", digits_program.program, "--data", packed.train, "-o", tmp_path / "out.ptd"]
    few = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))}
    done = run(*common, "--lr", 1e20, "--profile", dump, **few)
    assert done.code == 4
    assert not dump.exists()


@pytest.mark.promise(
    "A file that is written is the old one or the new one after kill -9 or a full disk", cases=1
)
def test_a_really_full_disk(digits_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a small disk here")
    try:
        full = run(
            "train", digits_program.program, "--data", packed.train, "-o", small / "out.ptd", "--max-steps", 2
        )
        assert full.code == 1
        assert "No space left on device" in full.error
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_outputs_that_make_no_sense(digits_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    common = ["train", digits_program.program, "--data", packed.train]
    assert run(*common, "-o", "/dev/full.ptd/x.ptd").code == 1
    assert run(*common, "-o", digits_program.weights).code == 2
    assert run(*common, "-o", packed.train).code == 2
    assert run(*common, "-o", tmp_path / "out.pte").code == 2
    (tmp_path / "folder.ptd").mkdir()
    assert run(*common, "-o", tmp_path / "folder.ptd").code == 2


def test_no_output_overwrites_another_file(
    digits_program: Any, inline_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    made = digits_program.copy_to(tmp_path)
    data, tuned = tmp_path / "train.ptd", tmp_path / "tuned.ptd"
    shutil.copy(packed.train, data)
    shutil.copy(made.weights, tuned)
    (tmp_path / "linked").symlink_to(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    outside = ["train", made.program, "--data", data, "-o"]
    inside = ["train", inline_program.program, "--data", data, "-o"]
    for command, culprit in (
        ([*outside, "t.ptd", "--profile", "./t.ptd"], "./t.ptd"),
        ([*outside, "t.ptd", "--profile", "linked/t.state.ptd"], "linked/t.state.ptd"),
        ([*outside, made.weights, "-w", tuned], str(made.weights)),
        ([*outside, "t.ptd", "--profile", made.manifest], str(made.manifest)),
        ([*inside, "t.pte", "--profile", "t.json"], "t.json"),
        ([*inside, "train.pte"], "train.json"),
    ):
        done = run(*command, "--max-steps", 1, cwd=tmp_path)
        assert done.code == 2
        assert f" {culprit} " in done.error
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    (tmp_path / "t.json").mkdir()
    assert run(*inside, "t.pte", "--max-steps", 1, cwd=tmp_path).code == 2
    assert not (tmp_path / "t.pte").exists()


@pytest.mark.promise(
    "A file that is written is the old one or the new one after kill -9 or a full disk", cases=50
)
def test_killed_while_it_saves(digits_program: Any, packed: Any, runner: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ptd"
    command = [
        runner,
        "train",
        digits_program.program,
        "--data",
        packed.train,
        "-o",
        out,
        "--batch-size",
        "1",
    ]
    command += ["--save-every", "1", "--epochs", "50", "--log-steps", "--seed"]
    chance, seen = random.Random(0), set()
    for seed in range(50):
        words = [str(x) for x in (*command, seed)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        for _ in range(3):
            process.stdout.readline()
        time.sleep(chance.random() * 0.05)
        process.kill()
        process.wait()
        process.stdout.close()
        if out.exists():
            seen.add(read_tensors(out).data)  # raises where the file is not whole
    assert len(seen) > 25  # most were killed after at least one save
    (tmp_path / ".out.ptd.AbC123.edgetrain-tmp").write_bytes(b"left behind")
    (tmp_path / ".out.ptd.my123").write_bytes(b"something else")
    with (tmp_path / ".out.ptd.inUse1.edgetrain-tmp").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        subprocess.run([str(x) for x in (*command, 0, "--max-steps", 1)], check=True, capture_output=True)
    assert {p.name for p in tmp_path.glob(".out.*")} == {".out.ptd.my123", ".out.ptd.inUse1.edgetrain-tmp"}


@pytest.mark.promise("Files that belong together are all the old ones or all the new ones", cases=20)
def test_killed_while_it_saves_a_program(
    inline_program: Any, packed: Any, runner: Path, run: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "out.pte"
    flags = ["--data", packed.train, "-o", out, "--batch-size", 1, "--save-every", 1, "--log-steps", "--seed"]
    assert run("train", inline_program.program, *flags, 99, "--max-steps", 1).code == 0
    chance, seen = random.Random(0), set()
    for seed in range(20):
        words = [str(x) for x in (runner, "train", inline_program.program, *flags, seed)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(chance.random() * 0.2)  # several steps, also of a sanitized runner
        process.kill()
        process.wait()
        process.stdout.close()
        seen.add(load_program(out).path.read_bytes())  # raises where the files don't fit
    assert len(seen) > 10


@pytest.mark.promise("Files that belong together are all the old ones or all the new ones", cases=1)
def test_a_replacement_that_a_dead_process_began_is_ended(
    inline_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    """A program and its manifest are two files; what is left of moving them is a journal, also Python's."""
    out = tmp_path / "out.pte"
    flags = ["train", inline_program.program, "--data", packed.train, "-o", out, "--max-steps"]
    assert run(*flags, 1).code == 0
    new = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(new) == ["out.json", "out.pte", "out.state.ptd"]
    assert run(*flags, 2, "--resume").code == 0
    hidden = tmp_path / ".out.abcdef12.edgetrain-tmp"
    (hidden / "files").mkdir(parents=True)
    for name in ("out.json", "out.state.ptd"):  # the program had been moved
        (hidden / "files" / name).write_bytes(new[name])
    out.write_bytes(new["out.pte"])
    journal = tmp_path / ".out.edgetrain-commit"
    record = {"kind": "edgetrain.commit", "files": {name: f"{hidden.name}/files/{name}" for name in new}}
    journal.write_text(json.dumps(record))
    assert run("evaluate", out, "--data", packed.test).code == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == new
    assert load_program(out).manifest.program == file_record(out)
    journal.write_text(json.dumps({**record, "files": {"out.pte": "../other"}}))
    refused = run("evaluate", out, "--data", packed.test)
    assert (refused.code, "is no record of files to be replaced; delete it" in refused.error) == (3, True)


def damaged(data: bytes, chance: random.Random) -> bytes:
    if chance.random() < 0.2:
        return data[: chance.randrange(len(data))]
    changed = bytearray(data)
    changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


@pytest.mark.promise("A damaged file is refused, or reads as it was", cases=60)
@pytest.mark.parametrize("which", ["program", "weights", "data", "state"])
def test_damage_is_found(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path, which: str, damages: int
) -> None:
    made = digits_program.copy_to(tmp_path)
    weights, data = tmp_path / "other.ptd", tmp_path / "data.ptd"
    shutil.copy(made.weights, weights)
    shutil.copy(packed.train, data)
    command = [
        "train",
        made.program,
        "-w",
        weights,
        "--data",
        data,
        "-o",
        tmp_path / "out.ptd",
        "--max-steps",
        1,
    ]
    assert run(*command).code == 0
    target = {"program": made.program, "weights": weights, "data": data, "state": tmp_path / "out.state.ptd"}[
        which
    ]
    good, chance = target.read_bytes(), random.Random(which)
    for _ in range(damages):
        target.write_bytes(damaged(good, chance))
        done = run(*command, "--resume")
        assert done.code == 3, f"exit code {done.code}"
        assert str(target) in done.error
    target.write_bytes(good)
    assert run(*command, "--resume").code == 0


def test_weights_without_a_digest_are_refused(
    digits_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    from executorch.exir._serialize.data_serializer import DataPayload
    from executorch.extension.flat_tensor.serialize.serialize import FlatTensorSerializer

    bare = tmp_path / "bare.ptd"
    payload = FlatTensorSerializer().deserialize(digits_program.weights.read_bytes())
    named = {name: entry for name, entry in payload.named_data.items() if name != DIGEST_KEY}
    last = payload.named_data[DIGEST_KEY].buffer_index
    assert last == len(payload.buffers) - 1
    without = DataPayload(buffers=payload.buffers[:last], named_data=named)
    bare.write_bytes(bytes(FlatTensorSerializer().serialize(without)))
    done = run("evaluate", digits_program.program, "-w", bare, "--data", packed.test)
    assert (done.code, "has no digest" in done.error) == (3, True)
    made = digits_program.copy_to(tmp_path)
    manifest = load_manifest(made.manifest)
    save_manifest(made.manifest, manifest.model_copy(update={"weights": file_record(bare)}))
    assert run("evaluate", made.program, "-w", bare, "--data", packed.test).code == 0


def test_damaged_manifests_are_refused(digits_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    made = digits_program.copy_to(tmp_path)
    assert run("evaluate", made.program, "--data", packed.test).code == 0
    good, chance = made.manifest.read_bytes(), random.Random(0)
    for _ in range(40):
        made.manifest.write_bytes(damaged(good, chance))
        assert run("evaluate", made.program, "--data", packed.test).code == 3


def test_a_manifest_of_another_program(digits_program: Any, packed: Any, run: Runner, tmp_path: Path) -> None:
    """What training changes has to be what the program says of it."""
    made = digits_program.copy_to(tmp_path)
    good = json.loads(made.manifest.read_text())
    last = good["contract"]["tensors"][-1]
    assert last["kind"] == "optimizer_state"
    for key, value in (("shape", [3]), ("dtype", "int64"), ("kind", "buffer"), ("update", "none")):
        text = json.loads(made.manifest.read_text())
        text["contract"]["tensors"][-1] = {**last, key: value}
        path = tmp_path / "other" / made.program.name
        path.parent.mkdir(exist_ok=True)
        for file in (made.program, made.weights):
            shutil.copy(file, path.parent)
        path.with_suffix(".json").write_text(sealed(json.dumps(text)))
        done = run("train", path, "--data", packed.train, "-o", tmp_path / "out.ptd", "--max-steps", 1)
        assert done.code == 3, done.said
        assert not (tmp_path / "out.ptd").exists()


def test_foreign_weights_are_named(
    digits_program: Any, noisy_program: Any, packed: Any, run: Runner, tmp_path: Path
) -> None:
    done = run("evaluate", digits_program.program, "-w", noisy_program.weights, "--data", packed.test)
    assert done.code == 3
    assert "belongs to another program" in done.error
    made = digits_program.copy_to(tmp_path)
    made.manifest.unlink()
    alone = run("evaluate", made.program, "-w", made.weights, "--data", packed.test)
    assert (alone.code, "has no manifest" in alone.error) == (3, True)


@pytest.mark.parametrize(
    "flags",
    [[], ["--lr", "x"], ["--lr", -1], ["--batch-size", 0], ["--batch-size", 33], ["--nonsense"], ["--epochs"],
     ["--optimizer", "lion"], ["--nesterov", "--momentum", 0], ["--mean", "1,2", "--std", 1], ["--scale", 2],
     ["--threads", 1025], ["--threads", 2**70], ["--epochs", 2**63], ["--accumulate", 2**64 - 1]],
    ids=str,
)  # fmt: skip
def test_wrong_flags(digits_program: Any, packed: Any, run: Runner, tmp_path: Path, flags: list[Any]) -> None:
    where = ["-o", tmp_path / "out.ptd"] if flags else []
    done = run("train", digits_program.program, "--data", packed.train, *where, *flags)
    assert done.code == 2
    assert list(tmp_path.iterdir()) == []


def test_help(runner: Path) -> None:
    for command in ([], ["train"], ["evaluate"], ["predict"], ["bench"], ["info"]):
        done = subprocess.run([runner, *command, "--help"], capture_output=True, text=True, check=True)
        assert done.stdout.startswith("usage: ")
        assert done.stderr == ""
