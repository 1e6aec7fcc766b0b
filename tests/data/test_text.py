"""`text`: bytes or tokens in windows, and the tokens that follow them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgetrain.config.data import DataConfig
from edgetrain.data import BatchLoader, Dataset, load_dataset
from edgetrain.errors import ConfigError, InputError, UsageError

TEXT = "The quick brown fox jumps over the lazy dog. Zwölf Boxkämpfer jagen Viktor. " * 10
BYTES = list(TEXT.encode())


def load(root: Path, **options: Any) -> Dataset:
    return load_dataset(DataConfig(name="text", root=root, **options))


def every(dataset: Dataset, split: str = "train") -> tuple[list[int], list[int]]:
    part = getattr(dataset, split)
    samples = part.samples(range(len(part)))
    return samples.inputs["inputs"].flatten().tolist(), samples.targets["targets"].flatten().tolist()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_windows_of_bytes_and_what_follows_them(file: Path) -> None:
    data = load(file, length=16)
    held_out = -(-len(BYTES) // 5)
    train, test = BYTES[:-held_out], BYTES[-held_out:]
    for split, expected in (("train", train), ("test", test)):
        count = (len(expected) - 1) // 16
        assert len(getattr(data, split)) == count
        assert every(data, split) == (expected[: count * 16], expected[1 : count * 16 + 1])
    assert (data.inputs["inputs"].shape, data.inputs["inputs"].dtype) == ((16,), "int64")
    assert (data.targets["targets"].shape, data.targets["targets"].dtype) == ((16,), "int64")
    assert (data.classes, data.outputs, data.task, data.ignored) == (None, 256, "next-token", None)
    assert not data.augmentation
    batch = next(BatchLoader(data.train, data.preprocessing, 3).epoch(0))
    assert torch.equal(batch.inputs["inputs"][:, 1:], batch.targets["targets"][:, :-1])


def test_files_of_a_folder_follow_each_other_in_order(tmp_path: Path) -> None:
    for name, text in (("b.md", "second" * 20), ("a/z.txt", "first" * 20), ("c.rst", "third" * 20)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".hidden").write_bytes(b"\xff")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "object").write_bytes(b"\xff")
    data = load(tmp_path, length=4, test_fraction=0.1)
    found = bytes(every(data)[0]).decode()
    assert ("first" * 20 + "second" * 20 + "third" * 20).startswith(found)
    assert len(found) > 280


@pytest.mark.parametrize("test", ["test", "val"])
def test_a_test_folder_of_its_own(tmp_path: Path, test: str) -> None:
    for split, text in (("train", "abc" * 50), (test, "xyz" * 20)):
        (tmp_path / split).mkdir()
        (tmp_path / split / "text.txt").write_text(text)
    data = load(tmp_path, length=10)
    assert (len(data.train), len(data.test)) == (14, 5)
    assert bytes(every(data, "test")[0]).decode() == ("xyz" * 20)[:50]
    (tmp_path / "train" / "text.txt").unlink()
    (tmp_path / "train").rmdir()
    with pytest.raises(InputError, match=f"has a folder '{test}' but none named 'train'"):
        load(tmp_path)


def test_a_tokenizer_makes_the_ids(file: Path, tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(unk_token="?"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    trainer = tokenizers.trainers.WordLevelTrainer(special_tokens=["?"])
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    data = load(file, length=5, tokenizer=tmp_path / "tokenizer.json", test_fraction=0.1)
    ids = tokenizer.encode(TEXT).ids
    assert data.outputs == tokenizer.get_vocab_size() == len(set(ids)) + 1
    inputs, targets = every(data)
    assert (inputs, targets) == (ids[: len(inputs)], ids[1 : len(inputs) + 1])
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json is damaged or no tokenizer\.json"):
        load(file, tokenizer=tmp_path / "bad.json")
    with pytest.raises(InputError, match="--tokenizer names a tokenizer"):
        load(file, tokenizer=tmp_path / "none.json")


def test_the_package_of_tokenizers_may_be_absent(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert len(load(file, length=16).train) > 1
    with pytest.raises(
        UsageError, match=r"needs the package tokenizers; install it with .*edgetrain\[text\]"
    ):
        load(file, tokenizer="tokenizer.json")


def test_bad_files(tmp_path: Path, file: Path) -> None:
    with pytest.raises(UsageError, match="--data text needs --data-dir PATH"):
        load_dataset(DataConfig(name="text"))
    with pytest.raises(InputError, match="none does not exist; --data-dir names a text file"):
        load(tmp_path / "none")
    with pytest.raises(
        InputError, match="train part has 624 tokens, too few for a sample of 1000 and one more"
    ):
        load(file, length=1000)
    with pytest.raises(InputError, match="test part has 156 tokens, too few for a sample of 200"):
        load(file, length=200)
    (tmp_path / "photo.jpg").write_bytes(b"text\xff\xd8")
    with pytest.raises(InputError, match=r"photo\.jpg is no UTF-8 text \(byte 4\)"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no files"):
        load(tmp_path / "empty")
    (tmp_path / "nothing.txt").touch()
    with pytest.raises(InputError, match="has 0 tokens"):
        load(tmp_path / "nothing.txt")


def test_options_that_dont_fit(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            file, length=16, image_size=8, flip=True, images_per_class=2, inputs=["a"],
            shift=["noise:1", "invert", "classes:1"],
        )  # fmt: skip
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 7
    assert "the samples of text are int64 16" in problems
    assert "noise can't be added to integer ids" in problems
    assert "data.inputs: text has no arrays to choose from; only arrays does" in problems
