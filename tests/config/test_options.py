"""Flags are derived from the models, each key exactly once."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import Literal, get_args

import pytest

from edgetrain.config.options import alternatives, choices_of, flags_of, given_values, kind_of
from edgetrain.config.stages import COMMANDS, SECTIONS


def leaves(command):
    sections = COMMANDS[command].model_fields
    return {(section, name) for section in sections for name in SECTIONS[section].model_fields}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_has_exactly_one_flag(command):
    paths = [flag.path for flag in flags_of(command)]
    assert len(paths) == len(set(paths))
    assert set(paths) == leaves(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_two_keys_claim_one_flag(command):
    names = [name for flag in flags_of(command) for name in flag.names]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"--[a-z][a-z0-9-]*", name) for name in names)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_explains_itself(command):
    for flag in flags_of(command):
        option = get_args(flag.signature_parameter().annotation)[1]
        assert flag.help
        assert flag.metavar
        assert option.rich_help_panel == flag.path[0].capitalize()


def test_the_rule_of_names():
    flags = {flag.key: flag for flag in flags_of("train")}
    assert flags["train.epochs"].names == ("--epochs",)
    assert flags["train.batch_size"].names == ("--batch-size",)
    assert flags["data.seed"].names == ("--data-seed",)
    assert flags["optimizer.lr"].names == ("--lr",)
    assert flags["data.augment"].names == ("--augment", "--no-augment")
    assert flags["data.flip"].names == ("--flip", "--no-flip")
    assert next(iter(flags)) == "train.epochs"  # the command's own section leads


def test_what_help_shows():
    flags = {flag.key: flag for flag in flags_of("train")}
    assert (flags["train.epochs"].metavar, flags["train.epochs"].default) == ("INTEGER", "10")
    assert (flags["optimizer.lr"].metavar, flags["optimizer.lr"].default) == ("FLOAT", "0.01")
    assert flags["optimizer.name"].metavar == "[sgd|adam|adamw]"
    assert flags["data.root"].metavar == "PATH"
    assert flags["data.root"].default == ""
    assert flags["data.mean"].metavar == "FLOAT"
    assert flags["model.args"].metavar == "NAME=VALUE"
    assert flags["data.augment"].default == "augment"
    assert flags["optimizer.nesterov"].default == "no-nesterov"
    # Many choices would fill the narrow column of types; they move to the text.
    assert flags["data.name"].metavar == "NAME"
    assert "cifar10, image-folder" in flags["data.name"].help
    runtimes = next(flag for flag in flags_of("bench") if flag.key == "bench.runtimes")
    assert runtimes.choices == ("torch", "executorch", "executorch-stock", "native")
    sizes = next(flag for flag in flags_of("bench") if flag.key == "bench.threads")
    assert sizes.default == "1"


def test_help_is_safe_from_markup():
    flag = next(flag for flag in flags_of("train") if flag.key == "data.image_size")
    option = get_args(flag.signature_parameter().annotation)[1]
    assert "\\[pixels]" in option.help


def test_completion():
    flag = next(flag for flag in flags_of("train") if flag.key == "optimizer.name")
    option = get_args(flag.signature_parameter().annotation)[1]
    assert option.autocompletion("ad") == ["adam", "adamw"]


def test_only_what_was_given_counts():
    arguments = {
        "train__epochs": "3",
        "train__seed": None,
        "data__shift": [],
        "data__augment": False,
        "other": 1,
    }
    assert given_values("train", arguments) == {"train.epochs": "3", "data.augment": False}


def test_flags_need_no_validators():
    """Making validators takes longer than all the rest of a page of help that is edgetrain's own."""
    code = (
        "from edgetrain.config.options import flags_of;"
        "from edgetrain.config.stages import COMMANDS, SECTIONS;"
        "assert all(flags_of(command) for command in COMMANDS);"
        "print(*(m.__name__ for m in [*SECTIONS.values(), *COMMANDS.values()] if m.__pydantic_complete__))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.split() == []


def test_parameters_are_optional():
    for flag in flags_of("finetune"):
        parameter = flag.signature_parameter()
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default in (None, [])


def test_types():
    assert alternatives(int | None) == (int,)
    assert choices_of(list[Literal["a"]] | None) == ("a",)
    assert choices_of(int) == ()
    kinds = [
        kind_of(annotation) for annotation in (bool | None, list[int] | None, dict[str, int], str | None)
    ]
    assert kinds == ["switch", "list", "mapping", "value"]
