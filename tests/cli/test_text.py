"""Values as text for people."""

from __future__ import annotations

import pytest

from edgetrain.cli.text import file_text, number_text, percent_text, printable, size_text, wrapped


def test_values(tmp_path):
    assert [size_text(n) for n in (0, 1023, 2048, 3 << 20, 5 << 30)] == [
        "0 B",
        "1023 B",
        "2.0 KiB",
        "3.0 MiB",
        "5.0 GiB",
    ]
    assert (number_text(None), number_text(0.5)) == ("–", "0.5")
    assert (percent_text(None), percent_text(0.981)) == ("–", "98.10 %")
    (tmp_path / "f").write_bytes(b"12345")
    assert file_text(tmp_path / "f") == f"{tmp_path / 'f'}  (5 B)"
    assert file_text(tmp_path / "g") == str(tmp_path / "g")
    assert file_text(None) == "–"
    assert printable("ä\n\x07") == "ä\n\\x07"


EPOCH = "epoch 10/10: loss 0.3102, accuracy 91.25%, took 12.5 s, 3 of 4 MiB, best so far"


@pytest.mark.parametrize("width", range(14, 100))
def test_lines_end_between_words(width):
    lines = wrapped(EPOCH, width).split("\n")
    assert " ".join(line.strip() for line in lines) == EPOCH
    assert all(len(line) <= width for line in lines)
    assert all(line.startswith("  ") for line in lines[1:])
    assert not [line for line in lines if line.strip().startswith(("s,", "MiB"))], "a unit without its number"


def test_what_is_longer_than_a_line_stays_whole():
    path = "/a/path/that-has-more-letters-than/a line"
    assert wrapped(f"  to {path}", 20).split("\n") == ["  to", f"    {path.split()[0]}", "    line"]
    assert wrapped(EPOCH, None) == EPOCH
    assert wrapped("a\n\n  b", 20) == "a\n\n  b"
