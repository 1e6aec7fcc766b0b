"""`text`: one's own texts, cut into windows of tokens whose targets are the tokens that follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config.data import DataConfig
from ..config.names import ROOTS
from ..errors import InputError, UsageError
from ..reporting import Reporter
from .base import Source, TensorSplit
from .folders import split_folders

_BYTES = 256

Encode = Callable[[str], np.ndarray]
"""Text to integer ids [T]."""


def read_text(config: DataConfig, reporter: Reporter) -> Source:
    """Reads UTF-8 text as int64 ids: a file, or all files below a folder one after the other, in the order of
    their paths. A sample is `data.length` ids, its target those moved on by one.

    Without a folder 'test' (or val, validation) beside 'train', the last `data.test_fraction` is held out.

    Raises:
        UsageError: no text is given, or the tokenizer's package is missing.
        InputError: a file is missing, damaged or no UTF-8 text, or there is too little text.
    """
    root = config.root
    if root is None:
        raise UsageError("--data text needs --data-dir PATH, a text file or a folder of them")
    encode, vocabulary = (
        (_byte_tokens, _BYTES) if config.tokenizer is None else load_tokenizer(config.tokenizer)
    )
    train_root, test_root = split_folders(root)
    if train_root is not None and test_root is not None:
        train, test = (_tokens(folder, encode, reporter) for folder in (train_root, test_root))
    elif test_root is not None:
        raise InputError(f"{root} has a folder '{test_root.name}' but none named 'train'")
    else:
        every = _tokens(train_root or root, encode, reporter)
        first = len(every) - math.ceil(config.test_fraction * len(every))
        train, test = every[:first], every[first:]
    return Source(
        train=_windows(train, config.length, "train", root),
        test=_windows(test, config.length, "test", root),
        classes=None,
        outputs=vocabulary,
        task="next-token",
    )


def load_tokenizer(path: Path) -> tuple[Encode, int]:
    """A tokenizer.json as a function, and how many tokens it knows.

    Raises:
        UsageError: the package that reads it is missing.
        InputError: the file is missing or damaged.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise UsageError(
            "data.tokenizer needs the package tokenizers; install it with pip install 'edgetrain[text]', or "
            "leave --tokenizer out to learn from bytes"
        ) from error
    if not path.is_file():
        raise InputError(f"{path} does not exist or is no file; --tokenizer names a tokenizer.json")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare exceptions
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} is damaged or no tokenizer.json ({reason})") from error

    def encode(text: str) -> np.ndarray:
        return np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)

    return encode, max(tokenizer.get_vocab().values(), default=0) + 1


def _byte_tokens(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _tokens(root: Path, encode: Encode, reporter: Reporter) -> Tensor:
    """All tokens of a file or folder, int64 [T]."""
    files = [root] if root.is_file() else list_files(root)
    parts = []
    with reporter.progress("reading text", total=len(files)) as progress:
        for path in files:
            parts.append(encode(_read(path)).astype(np.int64))
            progress.advance()
    return torch.from_numpy(np.concatenate(parts))


def list_files(folder: Path) -> list[Path]:
    """All files below a folder, in the order of their paths; hidden files and folders are passed over.

    Raises:
        InputError: there is no such folder, or no file in it.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} does not exist; --data-dir names {ROOTS['text']}")
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not files:
        raise InputError(f"{folder} holds no files")
    return files


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is no UTF-8 text (byte {error.start}); store it as UTF-8, or keep other files elsewhere"
        ) from error


def _windows(tokens: Tensor, length: int, split: str, root: Path) -> TensorSplit:
    """Samples that follow each other; what is left over at the end is dropped."""
    count = (len(tokens) - 1) // length
    if count < 1:
        raise InputError(
            f"{root}: the {split} part has {len(tokens)} tokens, too few for a sample of {length} and one "
            "more; use more text or a smaller --length"
        )
    end = count * length
    return TensorSplit.of(tokens[:end].view(count, length), tokens[1 : end + 1].view(count, length))
