from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.checkpoint import load_checkpoint
from edgetrain.artifacts.manifest import load_manifest, save_manifest
from edgetrain.artifacts.program import load_program
from edgetrain.artifacts.sealed import sealed
from edgetrain.artifacts.specs import INPUTS, TARGETS
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.errors import InputError
from edgetrain.runtimes import open_session
from edgetrain.upstream.files import load_runtime_program, read_program, write_program


def _named(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[dict[str, torch.Tensor], ...]:
    return {INPUTS: batch[0]}, {TARGETS: batch[1]}


def _edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(sealed(json.dumps(document)))


def test_manifest_round_trip(digits: Any, tmp_path: Path) -> None:
    manifest = load_manifest(digits.manifest)
    save_manifest(tmp_path / "again.json", manifest)
    assert (tmp_path / "again.json").read_bytes() == digits.manifest.read_bytes()
    assert load_manifest(tmp_path / "again.json") == manifest
    assert {t.name for t in manifest.contract.changing} == set(manifest.contract.trainable)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("contract"), "contract: Field required"),
        (lambda d: d.update(schema_version=1), "it has the schema 1, read is 5"),
        (lambda d: d.update(extra=1), "extra"),
        (lambda d: d["contract"]["tensors"][0].update(kind="king"), r"contract\.tensors\.0\.kind"),
    ],
)
def test_damaged_manifest(digits: Any, change: Any, message: str) -> None:
    _edit(digits.manifest, change)
    with pytest.raises(InputError, match=f"is no manifest of this edgetrain .*{message}.*export again"):
        load_program(digits.program)


def test_missing_or_unreadable_parts(digits: Any) -> None:
    digits.weights.rename(digits.weights.with_name("away"))
    with pytest.raises(InputError, match=r"model\.ptd does not exist"):
        load_program(digits.program)
    digits.manifest.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="can't read the manifest"):
        load_program(digits.program)
    digits.manifest.unlink()
    with pytest.raises(InputError, match=r"has no manifest model\.json"):
        load_program(digits.program)
    digits.program.unlink()
    with pytest.raises(InputError, match="export a program first"):
        load_program(digits.program)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "", ".."])
@pytest.mark.promise("Names in files lead nowhere else: no path out of a folder, no tag of YAML")
def test_a_manifest_can_not_point_elsewhere(digits: Any, name: str) -> None:
    _edit(digits.manifest, lambda d: d["weights"].update(name=name))
    with pytest.raises(InputError, match=r"passwd does not exist|does not exist"):
        load_program(digits.program)


def test_every_damage_of_a_program_is_refused(digits: Any) -> None:
    good = digits.program.read_bytes()
    draw = random.Random(0)
    for position in [draw.randrange(len(good) * 8) for _ in range(200)]:
        data = bytearray(good)
        data[position // 8] ^= 1 << position % 8
        digits.program.write_bytes(data)
        with pytest.raises(InputError, match="differs from what its manifest describes"):
            load_program(digits.program)
    for length in [draw.randrange(len(good)) for _ in range(20)]:
        digits.program.write_bytes(good[:length])
        with pytest.raises(InputError, match=f"has {length} bytes, its manifest says {len(good)}"):
            load_program(digits.program)


def test_every_damage_of_a_manifest_is_refused(digits: Any) -> None:
    good = digits.manifest.read_bytes()
    draw = random.Random(0)
    for position in [draw.randrange(len(good) * 8) for _ in range(400)]:
        data = bytearray(good)
        data[position // 8] ^= 1 << position % 8
        digits.manifest.write_bytes(data)
        with pytest.raises(InputError):
            load_program(digits.program)
    digits.manifest.write_bytes(good + b"\n")
    with pytest.raises(InputError, match="was changed after it was written, or is damaged"):
        load_program(digits.program)


def test_tensors_are_those_of_the_checkpoint(
    digits_program: Any, inline_program: Any, noisy_program: Any
) -> None:
    for made in (digits_program, inline_program, noisy_program):
        state = load_checkpoint(made.checkpoint).state
        tensors = load_program(made.program).tensors()
        assert set(tensors) >= {n for n in state if "num_batches" not in n}
        for name, tensor in tensors.items():
            assert torch.equal(tensor, state[name]), name


def test_pairing_messages(digits: Any, tmp_path: Path) -> None:
    tensors = read_tensors(digits.weights).tensors()
    bias = tensors.pop("classifier.2.bias")
    cases = {
        r"classifier\.2\.bias is missing": tensors,
        r"new is not part of the program": {**tensors, "classifier.2.bias": bias, "new": bias},
        r"classifier\.2\.bias is \[5\] float32, the program's is \[10\] float32": {
            **tensors,
            "classifier.2.bias": bias[:5],
        },
        r"classifier\.2\.bias is \[10\] float64": {**tensors, "classifier.2.bias": bias.double()},
    }
    for message, other in cases.items():
        write_tensors(tmp_path / "other.ptd", other)
        with pytest.raises(InputError, match=rf"belongs to another program than model\.pte: {message}"):
            load_program(digits.program, tmp_path / "other.ptd")
    _edit(digits.manifest, lambda d: d["contract"]["tensors"][0].update(shape=[1]))
    with pytest.raises(InputError, match="belongs to another program"):
        load_program(digits.program)


def test_inline_programs_take_no_weights(inline_program: Any, digits_program: Any) -> None:
    with pytest.raises(InputError, match="carries its weights inside"):
        load_program(inline_program.program, digits_program.weights)


def test_inline_save_and_load(inline_program: Any, tmp_path: Path, batch: Any) -> None:
    """Weights that were equal at export are changed apart from each other, again and again."""
    program = load_program(inline_program.program)
    session = open_session("executorch", program)
    inputs, targets = _named(batch(16))
    before = program.tensors()
    for _ in range(3):
        session.forward_backward(inputs, targets)
        for name, parameter in session.parameters.items():
            parameter.sub_(session.gradients[name], alpha=0.1)
    tuned = session.changed_tensors()
    assert set(tuned) == {f"classifier.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")}
    program.save(tmp_path / "tuned.pte", tuned)
    again = load_program(tmp_path / "tuned.pte")
    for name, tensor in again.tensors().items():
        assert torch.equal(tensor, tuned.get(name, before[name])), name
    fresh = open_session("executorch", again)
    assert fresh.evaluate(inputs, targets).loss == session.evaluate(inputs, targets).loss
    assert torch.equal(fresh.predict(inputs)["output"], session.predict(inputs)["output"])
    eager = open_session("torch", again)
    expected = eager.predict(inputs)["output"]
    torch.testing.assert_close(fresh.predict(inputs)["output"], expected, rtol=1e-5, atol=1e-6)
    # Tuning a tuned program does not pile up old weights in it.
    again.save(tmp_path / "third.pte", {n: t + 1 for n, t in tuned.items()})
    assert (tmp_path / "third.pte").stat().st_size <= (tmp_path / "tuned.pte").stat().st_size
    third = load_program(tmp_path / "third.pte").tensors()
    assert all(torch.equal(third[n], t + 1) for n, t in tuned.items())
    with pytest.raises(InputError, match="no tensor that"):
        program.save(tmp_path / "x.pte", {"features.0.bias": torch.ones(16)})


def test_equal_weights_get_their_own_bytes(noisy_program: Any, inline_program: Any, tmp_path: Path) -> None:
    for made, first in ((noisy_program, "body.1.weight"), (inline_program, "classifier.2.bias")):
        program = load_program(made.program)
        before = program.tensors()
        changed = {first: torch.full_like(before[first], 9.0)}
        place = tmp_path / f"one{made.program.suffix if program.weights is None else '.ptd'}"
        program.save(place, changed)
        after = (
            load_program(place) if program.weights is None else load_program(made.program, place)
        ).tensors()
        for name, tensor in before.items():
            assert torch.equal(after[name], changed.get(name, tensor)), name


def test_constants_are_added_to_a_program_that_has_none(tmp_path: Path) -> None:
    """ExecuTorch leaves an empty segment in front of them when it reads such a program."""
    from executorch.exir import to_edge
    from executorch.exir.schema import Buffer

    exported = torch.export.export(torch.nn.ReLU(), (torch.ones(3),))
    file = read_program(to_edge(exported).to_executorch().buffer)
    assert not any(buffer.storage for buffer in file.program.constant_buffer)
    (tmp_path / "same.pte").write_bytes(write_program(file))
    same = load_runtime_program(str(tmp_path / "same.pte")).load_method("forward")
    assert same([torch.tensor([-1.0, 0.0, 2.0])])[0].tolist() == [0.0, 0.0, 2.0]
    file.program.constant_buffer.append(Buffer(storage=b"a" * 20))
    found = read_program(write_program(file)).program.constant_buffer
    assert bytes(found[1].storage)[:20] == b"a" * 20
