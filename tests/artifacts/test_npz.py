"""Arrays of `.npz` files, also of those that promise more than they hold."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from edgetrain.artifacts import npz
from edgetrain.artifacts.compare_tensors import tensors_in
from edgetrain.artifacts.npz import read_npz
from edgetrain.config.data import DataConfig
from edgetrain.convert.samples import read_samples
from edgetrain.data import load_dataset
from edgetrain.errors import InputError


def header(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    """What stands in front of an array's numbers."""
    file = io.BytesIO()
    fields = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


def write(path: Path, **records: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in records.items():
            file.writestr(f"{name}.npy", content)
    return path


def test_all_kinds_of_arrays_come_back(tmp_path: Path) -> None:
    arrays = {
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 4), np.int16),
        "turned": np.arange(12, dtype=">f8").reshape(3, 4).T,
        "words": np.array(["a", "bc"]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found, names = read_npz(tmp_path / "a.npz")
        assert names == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    found, names = read_npz(tmp_path / "a.npz", {"scalar", "other"})
    assert (list(found), names) == (["scalar"], list(arrays))


@pytest.mark.parametrize("shape", [(10**12, 10**6), (2**62, 4), (4, 2**20), (-1, 3)])
@pytest.mark.parametrize("name", ["inputs", "targets"])
@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_shapes_that_the_file_does_not_hold(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    good = header((2,)) + bytes(8)
    path = write(tmp_path / "a.npz", **{"inputs": good, "targets": good, name: header(shape) + bytes(8)})
    for read in (
        lambda: load_dataset(DataConfig(name="arrays", root=path)),
        lambda: tensors_in(path),
        lambda: read_samples(path, {}),
    ):
        with pytest.raises(InputError, match=rf"a\.npz: '{name}' claims to be float32 .* holds 8 of it"):
            read()


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_more_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.npz", x=header((1000,)) + bytes(4000), y=header((1,)) + bytes(4))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=4000))
    with pytest.raises(InputError, match=r"unpacks to 4,\d+ bytes, more than the 4,000 of this machine"):
        read_npz(path)
    assert list(read_npz(path, {"y"})[0]) == ["y"]


@pytest.mark.promise("What is wrong with data is named, with file and place")
def test_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npz, "_SMALL", 2**20)
    path = write(tmp_path / "a.npz", x=header((2**20,)) + bytes(2**22))
    with pytest.raises(InputError, match=r"would unpack to 4,194,\d+ and is refused; .*numpy\.savez"):
        read_npz(path)
    np.savez(path, x=np.zeros(2**20, np.float32))
    assert read_npz(path)[0]["x"].nbytes == 2**22


@pytest.mark.filterwarnings("ignore:Stored array in format 3.0")
def test_what_is_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "fields.npz", x=np.zeros(2, dtype=[("ä", "f4"), ("€", "i4")]))
    with pytest.raises(InputError, match=r"'x' is no array of plain numbers"):
        read_npz(tmp_path / "fields.npz")
    path = write(tmp_path / "text.npz", x=b"not an array")
    with pytest.raises(InputError, match=r"text\.npz is damaged or no plain \.npz file"):
        read_npz(path)
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"one\.npz is damaged or no plain \.npz file"):
        read_npz(tmp_path / "one.npz")
