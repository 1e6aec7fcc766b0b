"""Files of weights that hold what training changes, or by how much it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.artifacts.manifest import load_manifest, save_manifest
from edgetrain.artifacts.program import Program, load_program
from edgetrain.artifacts.tensors import read_tensors, write_tensors
from edgetrain.errors import InputError, UsageError


@pytest.fixture
def partly(digits: Any) -> Program:
    """A program that trains its last layer only."""
    manifest = load_manifest(digits.manifest)
    for tensor in manifest.contract.stored:
        if not tensor.name.startswith("classifier.2"):
            tensor.update = "none"
    for method in manifest.contract.methods.values():
        kept = [a for a in method.outputs if a.tensor is None or str(a.tensor).startswith("classifier.2")]
        method.outputs = [a.model_copy(update={"index": i}) for i, a in enumerate(kept)]
    save_manifest(digits.manifest, manifest)
    return load_program(digits.program)


def _tuned(program: Program) -> dict[str, torch.Tensor]:
    return {t.name: program.tensors()[t.name] * 1.5 + 0.25 for t in program.manifest.contract.changing}


@pytest.mark.parametrize("content", ["trainable", "delta"])
def test_all_weights_come_back(partly: Program, content: Any) -> None:
    path, tuned = partly.path.with_name("t.ptd"), _tuned(partly)
    partly.save(path, tuned, content)
    stored = read_tensors(path)
    assert set(stored.entries) == set(tuned) == {"classifier.2.weight", "classifier.2.bias"}
    assert path.stat().st_size < partly.path.with_suffix(".ptd").stat().st_size / 3
    again = load_program(partly.path, path)
    assert not again.is_whole
    for name, tensor in again.tensors().items():
        expected = tuned.get(name, partly.tensors()[name])
        # A difference is rounded.
        most = 1e-7 * expected.abs().max() if content == "delta" else 0
        assert (tensor - expected).abs().max() <= most, name
    with again.full_weights() as whole:
        assert whole is not None
        assert torch.equal(load_program(partly.path, whole).tensors()[name], again.tensors()[name])
    assert not whole.exists()


def test_what_was_not_trained_further_stays(partly: Program) -> None:
    """Tensors that nobody hands over are saved as they are."""
    path, tuned = partly.path.with_name("t.ptd"), _tuned(partly)
    partly.save(path, tuned, "trainable")
    once = load_program(partly.path, path)
    once.save(path, {}, "delta")
    twice = load_program(partly.path, path)
    for name, tensor in once.tensors().items():
        assert torch.allclose(twice.tensors()[name], tensor, rtol=1e-6), name


def test_a_whole_file_is_used_where_it_lies(digits: Any) -> None:
    with load_program(digits.program).full_weights() as path:
        assert path == digits.weights


def test_changes_to_other_weights(partly: Program, tmp_path: Path) -> None:
    path = partly.path.with_name("t.ptd")
    partly.save(path, _tuned(partly), "delta")
    manifest = partly.manifest
    assert manifest.weights is not None
    other = partly.path.with_suffix(".ptd")
    partly.save(other, _tuned(partly))
    with pytest.raises(InputError, match="differs from what its manifest describes"):
        load_program(partly.path, path)
    from edgetrain.artifacts.manifest import file_record, manifest_path

    record = file_record(other)
    save_manifest(manifest_path(partly.path), manifest.model_copy(update={"weights": record}))
    with pytest.raises(InputError, match=r"t\.ptd goes with other weights than model\.ptd"):
        load_program(partly.path, path)


def test_tensors_of_another_program(partly: Program) -> None:
    path, tuned = partly.path.with_name("t.ptd"), _tuned(partly)
    partly.save(path, tuned, "trainable")
    contents = read_tensors(path).contents
    tuned["classifier.2.bias"] = torch.zeros(3)
    write_tensors(path, tuned, contents=contents)
    with pytest.raises(
        InputError, match=r"belongs to another program than model\.pte: see classifier\.2\.bias"
    ):
        load_program(partly.path, path)
    write_tensors(path, tuned, metadata={"edgetrain.contents": b"{}}"})
    with pytest.raises(InputError, match="does not say what it holds"):
        load_program(partly.path, path)


def test_what_can_not_be_saved(partly: Program, inline_program: Any) -> None:
    load_program(inline_program.program).check_savable("full")
    with pytest.raises(UsageError, match=r"carries its weights inside .* leave --save delta out"):
        load_program(inline_program.program).check_savable("delta")
    partly.check_savable("delta")
    other = partly.path.with_name("other.ptd")
    partly.save(other, {"features.0.bias": torch.ones(16)})
    started = load_program(partly.path, other)
    started.check_savable("full")
    with pytest.raises(UsageError, match=r"--save trainable leaves out features\.0\.bias"):
        started.check_savable("trainable")
