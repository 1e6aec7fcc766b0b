from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edgetrain.artifacts.checksums import check_sums
from edgetrain.errors import InputError


def test_a_flipped_bit_in_a_tensor_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    torch.save({"w": torch.full((100,), 0.123)}, path)
    check_sums(path)
    data = bytearray(path.read_bytes())
    data[data.index(torch.full((2,), 0.123).numpy().tobytes()) + 4] ^= 1
    path.write_bytes(data)
    assert torch.load(path)["w"][1] != 0.123  # torch does not mind
    with pytest.raises(InputError, match=r"x\.pth is damaged \(.*data/0 does not match its checksum\)"):
        check_sums(path)


def test_no_zip_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello")
    with pytest.raises(InputError, match="damaged or no PyTorch checkpoint"):
        check_sums(tmp_path / "x")
