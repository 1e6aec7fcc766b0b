"""Files, --set and flags become one checked configuration."""

from __future__ import annotations

import pytest
import yaml

from edgetrain.config.loader import load_config
from edgetrain.config.stages import COMMANDS
from edgetrain.config.strict_yaml import parse_value
from edgetrain.errors import ConfigError


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes c.yaml in the current folder."""
    monkeypatch.chdir(tmp_path)

    def writer(text):
        path = tmp_path / "c.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path.relative_to(tmp_path)

    return writer


def problems(command="train", **sources):
    with pytest.raises(ConfigError) as caught:
        load_config(command, **sources)
    return caught.value.problems


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_given_means_defaults(command):
    assert load_config(command) == COMMANDS[command]()


def test_precedence(write):
    file = write("train: {epochs: 2, batch_size: 2, seed: 2}\n")
    config = load_config(
        "train", file=file, overrides=["train.epochs=3", "train.batch_size=3"], flags={"train.epochs": "4"}
    )
    train = config.train
    assert (train.epochs, train.batch_size, train.seed, train.eval_batch_size) == (4, 3, 2, 500)


def test_the_last_set_wins():
    assert load_config("train", overrides=["train.epochs=3", "train.epochs=5"]).train.epochs == 5


def test_mappings_merge_key_by_key_and_lists_are_replaced(write):
    file = write("model: {args: {a: 1, b: 1, c: {x: 1}}}\ndata: {shift: [invert]}\n")
    config = load_config(
        "train",
        file=file,
        overrides=["model.args.b=2", "data.shift=[rotate:30]"],
        flags={"model.args": ["c=[1]", "d=1e-3"]},
    )
    assert config.model.args == {"a": 1, "b": 2, "c": [1], "d": 0.001}
    assert config.data.shift == ["rotate:30"]


def test_an_empty_mapping_clears(write):
    file = write("model: {args: {a: 1}}\n")
    assert load_config("train", file=file, overrides=["model.args={}"]).model.args == {}


def test_null_brings_back_no_value(write):
    file = write("data: {images_per_class: 5}\n")
    assert (
        load_config("train", file=file, overrides=["data.images_per_class=null"]).data.images_per_class
        is None
    )


def test_a_whole_section_by_set():
    assert load_config("train", overrides=["train={epochs: 3, seed: 4}"]).train.seed == 4


def test_a_mapping_replaces_what_is_none(write):
    config = load_config("train", file=write("data: {shift: {rotate: 30, invert: true}}\n"))
    assert config.data.shift == ["rotate:30", "invert"]


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "+1e-3", "1.e-3", "0.001"])
def test_exponents_are_numbers(write, text):
    assert load_config("train", file=write(f"optimizer: {{lr: {text}}}\n")).optimizer.lr == 0.001
    assert parse_value(text) == 0.001
    assert load_config("train", overrides=[f"model.args.x={text}"]).model.args == {"x": 0.001}


@pytest.mark.parametrize(
    ("text", "value"),
    [("1:30:00", "1:30:00"), ("1:30.5", "1:30.5"), ("010", 10), ("-010", -10), ("0x10", 16), ("1_000", 1000)],
)
def test_numbers_are_those_of_yaml_1_2(write, text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_quoted_exponents_stay_text():
    assert parse_value("'1e-3'") == "1e-3"
    # What PyYAML alone reads as text is still a number to the model.
    assert load_config("train", flags={"optimizer.lr": yaml.safe_load("1e-3")}).optimizer.lr == 0.001


def test_a_choice_of_numbers_from_text():
    assert load_config("train", flags={"data.channels": "3"}).data.channels == 3


def test_lists_with_commas():
    flags = {"bench.runtimes": ["torch, native"], "bench.batch_sizes": ["1,4", "32"]}
    bench = load_config("bench", flags=flags).bench
    assert (bench.runtimes, bench.batch_sizes) == (["torch", "native"], [1, 4, 32])
    shift = load_config("train", flags={"data.shift": ["classes:0,3", "invert"]}).data.shift
    assert shift == ["classes:0,3", "invert"]
    with pytest.raises(
        ConfigError, match=r"bench.batch_sizes\[1\]: must be a whole number .*got 'x'.*--batch-sizes"
    ):
        load_config("bench", flags={"bench.batch_sizes": ["1,x"]})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("cross_entrpy", r"must be one of .*did you mean 'cross_entropy'"),
        ("a.b", "or package.module:factory"),
        ("a.b:c d", "or package.module:factory"),
    ],
)
def test_losses_by_name(name, problem):
    with pytest.raises(ConfigError, match=problem):
        load_config("train", flags={"loss.name": name})
    assert load_config("train", flags={"loss.name": "my.losses:focal"}).loss.name == "my.losses:focal"


def test_other_commands_sections_are_checked_and_left_out(write):
    file = write("train: {epochs: 2}\nbench: {steps: 3}\noptimize: {surgery: lite}\nexport:\n")
    assert load_config("train", file=file).train.epochs == 2
    assert load_config("bench", file=file).bench.steps == 3
    file = write("train: {epochs: 2}\nbench: {step: 3, threads: [1, x]}\nfinetune: 3\n")
    assert problems(file=file) == [
        "bench.threads[1]: must be a whole number (got 'x') [c.yaml]",
        "bench.step: unknown key; did you mean 'steps'? [c.yaml]",
        "finetune: must be a section with keys (got 3) [c.yaml]",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train: {epoch: 1}", "train.epoch: unknown key; did you mean 'epochs'? [c.yaml]"),
        ("train: {lr: 1}", "train.lr: unknown key; did you mean 'optimizer.lr'? [c.yaml]"),
        ("loss: {zzz: 1}", "loss.zzz: unknown key; known are name, label_smoothing, ignore_index [c.yaml]"),
        ("trian: {}", "trian: unknown section; did you mean 'train'? [c.yaml]"),
        ("lr: 1", "lr: unknown section; did you mean 'optimizer.lr'? [c.yaml]"),
        ("train: [1]", "train: must be a section with keys (got [1]) [c.yaml]"),
        ("train: {epochs: 0}", "train.epochs: must be at least 1 (got 0) [c.yaml]"),
        ("train: {epochs: 1.5}", "train.epochs: must be a whole number (got 1.5) [c.yaml]"),
        ("train: {epochs: many}", "train.epochs: must be a whole number (got 'many') [c.yaml]"),
        ("train: {epochs: true}", "train.epochs: must not be true or false (got True) [c.yaml]"),
        ("train: {epochs: null}", "train.epochs: must be a whole number (got None) [c.yaml]"),
        ("optimizer: {lr: 0}", "optimizer.lr: must be greater than 0 (got 0) [c.yaml]"),
        ("optimizer: {lr: .inf}", "optimizer.lr: must be a finite number (got inf) [c.yaml]"),
        ("optimizer: {lr: fast}", "optimizer.lr: must be a number (got 'fast') [c.yaml]"),
        ("optimizer: {momentum: 1}", "optimizer.momentum: must be less than 1 (got 1) [c.yaml]"),
        ("optimizer: {dampening: 2}", "optimizer.dampening: must be at most 1 (got 2) [c.yaml]"),
        ("optimizer: {nesterov: maybe}", "optimizer.nesterov: must be true or false (got 'maybe') [c.yaml]"),
        ("optimizer: {name: SGD}", "one of sgd, adam, adamw (got 'SGD'); did you mean 'sgd'? [c.yaml]"),
        (
            "optimizer: {name: sdg}",
            "must be one of sgd, adam, adamw (got 'sdg'); did you mean 'sgd'? [c.yaml]",
        ),
        ("data: {channels: 2}", "data.channels: must be one of 1, 3 (got 2) [c.yaml]"),
        (
            "data: {shift: [rotat:9]}",
            "data.shift: 'rotat:9' is no known shift; did you mean 'rotate'? [c.yaml]",
        ),
        ("data: {root: 5}", "data.root: must be a path (got 5) [c.yaml]"),
        ("data: {mean: 5}", "data.mean: must be a list (got 5) [c.yaml]"),
        ("data: {mean: [1]}", "data: give mean and std together [c.yaml]"),
        ("model: {name: 5}", "model.name: must be text (got 5) [c.yaml]"),
        ("model: {args: 5}", "model.args: must be a mapping of names to values (got 5) [c.yaml]"),
        ("model: {args: {1: 2}}", "keys must be text (got 1) [c.yaml]"),
        ("bench: {threads: []}", "bench.threads: needs at least 1 value(s) (got []) [c.yaml]"),
    ],
)
def test_problems_in_friendly_words(write, text, problem):
    found = problems(file=write(text))
    assert len(found) == 1
    assert found[0].endswith(problem)


def test_every_source_is_named(write):
    found = problems(
        file=write("train: {epochs: 0}\n"),
        overrides=["train.seed=-1", "optimizer.nesterov=true"],
        flags={"train.threads": "0", "data.augment": "x", "optimizer.momentum": "0"},
    )
    assert sorted(found) == [
        "data.augment: must be true or false (got 'x') [--augment]",
        "optimizer: nesterov needs a momentum greater than 0 and a dampening of 0 [--set, --momentum]",
        "train.epochs: must be at least 1 (got 0) [c.yaml]",
        "train.seed: must be at least 0 (got -1) [--set]",
        "train.threads: must be at least 1 (got 0) [--threads]",
    ]


def test_a_source_that_was_overridden_is_not_blamed(write):
    file = write("train: {epochs: 0}\n")
    assert problems(file=file, flags={"train.epochs": "-1"}) == [
        "train.epochs: must be at least 1 (got -1) [--epochs]"
    ]
    assert load_config("train", file=file, flags={"train.epochs": "1"}).train.epochs == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("epochs", "--set 'epochs': write KEY=VALUE, as in --set data.seed=1"),
        ("train.=1", "--set 'train.=1': write KEY=VALUE, as in --set data.seed=1"),
        ("lr=1", "lr: unknown key; did you mean 'optimizer.lr'? [--set]"),
        ("trian.epochs=1", "trian.epochs: unknown section 'trian'; did you mean 'train'? [--set]"),
        ("train.epoch=1", "train.epoch: unknown key; did you mean 'epochs'? [--set]"),
        ("train=1", "train: must be a section with keys (got 1) [--set]"),
        ("train.epochs={a: 1}", "train.epochs: must be a whole number (got {'a': 1}) [--set]"),
        (
            "bench.steps=1",
            "bench.steps: 'edgetrain train' does not read the section 'bench'; "
            "it reads data, model, task, loss, optimizer, schedule, train [--set]",
        ),
    ],
)
def test_problems_of_set(text, problem):
    assert problems(overrides=[text]) == [problem]


def test_set_with_broken_yaml():
    (problem,) = problems(overrides=["model.args={a: 1"])
    assert problem.startswith("model.args: the value is not valid YAML: expected ',' or '}'")


def test_mapping_flags_without_a_value():
    assert problems(flags={"model.args": ["hidden", "=3"]}) == [
        "model.args: write NAME=VALUE (got 'hidden') [--model-arg]",
        "model.args: write NAME=VALUE (got '=3') [--model-arg]",
    ]


def test_turned_off_switches_are_named_as_given():
    (problem,) = problems(flags={"train.epochs": "0", "data.augment": False})
    assert problem.endswith("[--epochs]")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train: {epochs: 1}\ntrain: {seed: 1}\n", "c.yaml:2: the key 'train' is there already (line 1)"),
        ("train:\n  seed: 1\n  seed: 2\n", "c.yaml:3: the key 'seed' is there already (line 2)"),
        ("train: [", "c.yaml:1: expected the node content, but found"),
        ("train: !!python/object/apply:os.system [ls]", "c.yaml:1: could not determine a constructor"),
        (
            "a: 1\n---\nb: 1\n",
            "c.yaml:2: expected a single document in the stream but found another document",
        ),
        ("- a\n", "c.yaml: must hold sections such as 'train:' with keys below (got ['a'])"),
        ("text", "c.yaml: must hold sections"),
        ("a: 2020-13-45\n", "c.yaml: month must be in 1..12"),
        ("{[1]: 2}: 3", "c.yaml:1: "),
        ("a: *nothing", "c.yaml:1: found undefined alias 'nothing'"),
        (b"\xff\xfe\xff", "c.yaml: the file is not UTF-8 text [--config]"),
        ("a: \x01", "c.yaml: unacceptable character"),
        ("[" * 3000, "c.yaml: it is nested too deeply"),
    ],
)
@pytest.mark.promise("Names in files lead nowhere else: no path out of a folder, no tag of YAML")
def test_files_that_cannot_be_read(write, text, problem):
    (found,) = problems(file=write(text))
    assert found.startswith(problem)
    assert "\n" not in found


def test_missing_file_and_folder(tmp_path):
    assert problems(file=tmp_path / "none.yaml") == [
        f"{tmp_path}/none.yaml: the file does not exist [--config]"
    ]
    assert problems(file=tmp_path) == [f"{tmp_path}: Is a directory [--config]"]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_empty_files_mean_defaults(write, text):
    assert load_config("train", file=write(text)) == COMMANDS["train"]()


def test_anchors_work_and_expansion_bombs_do_not_hurt(write):
    file = write("train: &a {seed: 3}\nbench: *a\n")
    assert load_config("train", file=file).train.seed == 3
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    assert len(problems(file=write("\n".join(lines)))) == 30


def test_paths_stay_as_written(write):
    assert str(load_config("train", file=write("data: {root: images/train}\n")).data.root) == "images/train"


def test_long_values_are_shortened():
    (problem,) = problems(flags={"train.epochs": "x" * 1000})
    assert len(problem) < 150


@pytest.mark.parametrize("command", ["train", "finetune", "bench"])
def test_threads_have_an_upper_bound(command):
    def given(count):
        return {f"{command}.threads": [count] if command == "bench" else count}

    load_config(command, flags=given("1024"))
    assert problems(command, flags=given("1025")) == [
        f"{command}.threads: must be at most 1024 (got 1025) [--threads]"
    ]


@pytest.mark.parametrize(
    ("given", "name", "root"),
    [
        ("d.npz", "arrays", "d.npz"),
        ("a/b.PTD", "arrays", "a/b.PTD"),
        ("t.txt", "text", "t.txt"),
        (".", "image-folder", "."),
    ],
)
def test_a_path_is_the_data_set_in_it(given, name, root):
    data = load_config("train", flags={"data.name": given}).data
    assert (data.name, str(data.root)) == (name, root)


def test_a_path_without_data_is_no_misspelt_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in ("./photos", "photos/cats", "photos/"):
        assert problems("train", flags={"data.name": given}) == [
            f"data.name: {given} does not exist; name a data set, a folder or a file [--data]"
        ]
    (tmp_path / "table.csv").write_text("1,2")
    assert problems("train", flags={"data.name": "table.csv"}) == [
        "data.name: table.csv is no image folder, and no .npz, .safetensors, .ptd or text file [--data]"
    ]


def test_a_path_and_a_place_contradict_each_other(tmp_path):
    with pytest.raises(ConfigError, match="must be one of digits"):
        load_config("train", flags={"data.name": "d.npz", "data.root": str(tmp_path)})
