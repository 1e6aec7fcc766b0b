"""Settings of a stage that contradict each other."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgetrain.config.stages import ExportConfig


def test_parts_of_a_batch_have_other_statistics() -> None:
    with pytest.raises(ValidationError, match="micro_batch needs batch_norm: frozen"):
        ExportConfig.model_validate({"micro_batch": 4, "batch_norm": "train"})
