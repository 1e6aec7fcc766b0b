from __future__ import annotations

from collections.abc import Mapping

import pytest

from edgetrain.config.names import DATA_SETS, load_entry


@pytest.mark.parametrize("name", DATA_SETS)
def test_every_data_set_has_its_reader(name: str) -> None:
    assert load_entry(DATA_SETS[name], "edgetrain.data").__name__ == f"read_{name.replace('-', '_')}"


def test_an_entry_may_lie_elsewhere() -> None:
    assert load_entry("collections.abc:Mapping", "edgetrain.data") is Mapping
    assert load_entry("abc:Mapping", "collections") is Mapping
