import subprocess
import sys
from pathlib import Path

import pytest

from edgetrain.engine import memory

CODE = """
from edgetrain.engine.memory import peak_rss_bytes
before = peak_rss_bytes()
block = bytearray(b"x") * (64 * 2**20)
del block
print(before, peak_rss_bytes())
"""


def test_peak_is_in_bytes_and_stays() -> None:
    output = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True).stdout
    before, after = map(int, output.split())
    assert 4 * 2**20 < before < 512 * 2**20
    assert before + 48 * 2**20 < after < before + 128 * 2**20


def test_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    expected = memory.peak_rss_bytes()
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "missing")
    assert memory.peak_rss_bytes() == pytest.approx(expected, rel=0.5)
