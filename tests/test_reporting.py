"""What stages say."""

from __future__ import annotations

from edgetrain.reporting import megabytes


def test_sizes() -> None:
    assert megabytes(1234) == "0.001 MB"
    assert megabytes(99_999_999) == "100.000 MB"
    assert megabytes(10**9) == "1000.0 MB"
