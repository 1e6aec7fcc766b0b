"""Rules files: what they may hold, and the sentence for everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgetrain.config.update_rules import Adapter, read_update_rules
from edgetrain.errors import ConfigError

WHOLE = """
rules:
  - pattern: features.6
    train: 0.25
  - pattern: classifier.0
    train: {lora: {rank: 2, alpha: 8}}
  - last_layers: 1
    train: all
  - last_blocks: 3
    train: bias
  - pattern: '*'
    train: none
"""


def test_all_that_a_rule_can_say(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(WHOLE)
    rules = read_update_rules(file)
    assert [rule.train for rule in rules if not isinstance(rule.train, Adapter)] == [
        0.25,
        "all",
        "bias",
        "none",
    ]
    assert isinstance(rules[1].train, Adapter)
    assert (rules[1].train.lora.rank, rules[1].train.lora.alpha) == (2, 8)
    assert [(r.pattern, r.last_layers, r.last_blocks) for r in rules][2:4] == [
        (None, 1, None),
        (None, None, 3),
    ]
    file.write_text('{"rules": [{"pattern": "*", "train": "all"}]}')
    assert read_update_rules(file)[0].pattern == "*"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "must be a section with keys"),
        ("rules: []", "rules: needs at least 1 value"),
        ("rule: []", "rules: is missing"),
        (
            "rules:\n- pattern: x\n  train: 2",
            "rule 1: train: must be none, bias, all, a share of the output channels",
        ),
        ("rules:\n- {pattern: x, train: true}", "rule 1: train: must be none, .* \\(got True\\)"),
        ("rules:\n- {pattern: x, train: 0}", "rule 1: train: must be none, .* \\(got 0\\)"),
        ("rules:\n- {pattern: x, train: {lora: {rank: 0}}}", "rule 1: train.lora.rank: must be at least 1"),
        ("rules:\n- {pattern: x, train: {loar: {}}}", "rule 1: train.loar: unknown key"),
        (
            "rules:\n- {pattern: x, train: all}\n- {train: all}",
            "rule 2: needs one of pattern, last_layers and",
        ),
        (
            "rules:\n- {pattern: x, last_layers: 1, train: all}",
            "rule 1: needs one of pattern, last_layers and",
        ),
        ("rules:\n- {pattern: x}", "rule 1: train: is missing"),
        ("rules: [", "while parsing"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=rf"rules\.yaml.*{problem}"):
        read_update_rules(file)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: the file does not exist \[--update\]"):
        read_update_rules(tmp_path / "none.yaml")
