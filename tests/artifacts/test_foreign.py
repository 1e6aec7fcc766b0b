"""Files of others are called by their names, and what to do with them is said."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from edgetrain.artifacts.foreign import OLD_MAGIC, describe_foreign


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("model.pth"))
    return buffer.getvalue()


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, b"")
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, w=np.zeros(3))
    return buffer.getvalue()


def _saved(**options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"w": torch.zeros(2)}, buffer, **options)
    return buffer.getvalue()


def _safetensors() -> bytes:
    from safetensors.torch import save

    return save({"w": torch.zeros(2)})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file; download or save it again"),
        (b"GGUF\x03\x00\x00\x00", "a GGUF model, quantized for llama.cpp; take the PyTorch checkpoint"),
        (b"\x89HDF\r\n\x1a\n\x00", "an HDF5 file, as Keras writes them; read it with h5py"),
        (b"\x1c\x00\x00\x00TFL3\x00", "a TensorFlow Lite model; such a program can't be trained"),
        (b"\x08\x07\x12\x07pytorch", "an ONNX model; take the PyTorch checkpoint"),
        (gzip.compress(b"weights"), "compressed by gzip; unpack it first, with 'gunzip' or 'tar -xzf'"),
        (_tar(), "a tar archive; unpack it first, with 'tar -xf'"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a Git LFS pointer, .*'git lfs pull'",
        ),
        (b"\n <!DOCTYPE html><title>404</title>", "a web page, perhaps .* download the file again"),
        (b'<!doctype html><svg xmlns="">', "a web page, perhaps .* download the file again"),
        (b'<?xml version="1.0"?>\n<!DOCTYPE svg PUBLIC "">\n<svg>', r"an image \(SVG\)"),
        (b"\x7fELF\x02\x01\x01", "an executable file or a library"),
        (_npz(), r"a file of NumPy arrays \(.npz\); as data: --data arrays"),
        (_zip("config.json", "model.weights.h5"), "a Keras model"),
        (_zip("m/.data/extern_modules", "m/x.pkl"), r"a package of torch\.package, .*PackageImporter"),
        (_zip("readme.txt"), "a zip file without a model in it"),
        (_zip("readme.txt")[:60], "a damaged zip file"),
        (pickle.dumps([1]), "a Python pickle that torch.save did not write"),
        (_saved(), "a file of torch.save; bring it over first: edgetrain convert"),
        (_saved(_use_new_zipfile_serialization=False), "a file of torch.save; bring it over first"),
        (_zip("m/data.pkl", "m/constants.pkl"), "a TorchScript model; bring it over first"),
        (_zip("m/archive_format"), "a program of torch.export; bring it over first"),
        (_safetensors(), "a file of safetensors; bring it over first"),
        (
            json.dumps({"weight_map": {}}).encode(),
            "the index of a checkpoint in several files; bring it over",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_file_is(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    described = describe_foreign(path)
    assert described is not None
    assert re.match(f"is {said}", described), described


@pytest.mark.parametrize("content", [b"hello", b'{"a": 1}', b"\x00" * 2000, b"ET12", b"\x08\xff\x00\x00"])
def test_what_is_not_known_is_not_guessed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert describe_foreign(tmp_path / "file") is None


def test_the_old_magic_is_pytorchs() -> None:
    assert pickle.loads(OLD_MAGIC) == 0x1950A86A20F9469CFC6C
