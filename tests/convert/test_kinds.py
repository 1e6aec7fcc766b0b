"""Telling files by their content, and refusing what no model needs, before anything is read."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from convert_models import WRITERS

from edgetrain.convert.kinds import find_files, identify, stem_of
from edgetrain.errors import InputError, UsageError

GetFile = Callable[[str, str], Path]
KINDS = {
    "state_dict": "saved by torch.save",
    "checkpoint": "saved by torch.save",
    "pickled module": "saved by torch.save",
    "traced": "TorchScript",
    "scripted": "TorchScript",
    "mobile": "TorchScript",
    "pt2": "exported program",
    "safetensors": "safetensors",
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_name_does_not_matter(kind: str, model_file: GetFile, tmp_path: Path) -> None:
    path = tmp_path / "model.jpeg"
    path.write_bytes(model_file(kind, "Images").read_bytes())
    assert identify(path).kind == KINDS[kind]


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated(kind: str, model_file: GetFile, tmp_path: Path) -> None:
    content = model_file(kind, "Images").read_bytes()
    path = tmp_path / "model.pt"
    for share in (0.0, 0.001, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(InputError, match=r"damaged|of no known kind|an empty file"):
            identify(path)


def test_the_old_format_of_torch_save(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save({"weight": torch.ones(4, 3)}, path, _use_new_zipfile_serialization=False)
    found = identify(path)
    assert (found.kind, found.archive) == ("saved by torch.save", None)
    assert found.pickle.largest_storage == 12
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(InputError, match="cut short or damaged"):
        identify(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is an empty file; download or save it again"),
        (b"\x89PNG\r\n\x1a\n", r"is an image \(PNG\)"),
        (b"\0\0\0\0ET12\0\0\0\0\0\0\0\0", "a file of ExecuTorch already"),
        (struct.pack("<Q", 2**62) + b'{"a": 1}', "of no known kind"),
        (struct.pack("<Q", 8) + b'{"a": 1}', "no safetensors file"),
        (struct.pack("<Q", 2) + b"{}" + bytes(9), "should have 10 bytes, but has 19"),
    ],
)
def test_other_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        identify(path)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.pt does not exist"):
        identify(tmp_path / "nothing.pt")
    with pytest.raises(InputError, match="is no file"):
        identify(tmp_path)


def _zip(path: Path, records: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in records.items():
            file.writestr(name, content)
    return path


def test_zip_bombs(tmp_path: Path) -> None:
    path = _zip(tmp_path / "bomb.pt", {"a/data.pkl": bytes(200 * 2**20)})
    assert path.stat().st_size < 2**20
    with pytest.raises(InputError, match="would unpack to 209715200; it is refused"):
        identify(path)


def test_zip_files_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a zip file without a model in it"):
        identify(_zip(tmp_path / "a.zip", {"a/readme": b"nothing"}))
    with pytest.raises(InputError, match="two records of one name"):
        identify(_zip(tmp_path / "b.zip", {"a/data.pkl": b"", "b/data.pkl": b""}))


def test_absurd_tensors(tmp_path: Path) -> None:
    """A pickle that asks for a storage of terabytes is refused from its opcodes."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", "0", 2**42) if isinstance(value, bytearray) else None

    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump({"weight": bytearray()})
    path = _zip(tmp_path / "absurd.pt", {"a/data.pkl": buffer.getvalue(), "a/data/0": bytes(8)})
    with pytest.raises(InputError, match="asks for a tensor of 4398046511104 elements, but has"):
        identify(path)


def test_folders(tmp_path: Path) -> None:
    for name in ("b.pt", "a.PTL", "notes.txt", "net.pte"):
        (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    found = find_files([tmp_path, tmp_path / "b.pt", tmp_path / "notes.txt"])
    assert [path.name for path in found] == ["a.PTL", "b.pt", "notes.txt"]
    with pytest.raises(UsageError, match="has no files to convert"):
        find_files([tmp_path / "below"])


def test_checkpoints_of_pytorchs_own_examples(tmp_path: Path) -> None:
    """They are called `.pth.tar`, and are no archives."""
    for name in ("checkpoint.pth.tar", "data.tar"):
        torch.save({"state_dict": {"w": torch.ones(1)}}, tmp_path / name)
    assert find_files([tmp_path]) == [tmp_path / "checkpoint.pth.tar"]
    assert identify(tmp_path / "checkpoint.pth.tar").kind == "saved by torch.save"
    assert [stem_of(Path(name)) for name in ("a.pth.tar", "v1.2.tar", "a.b.pth")] == ["a", "v1.2", "a.b"]
