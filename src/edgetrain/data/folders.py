"""What folders of one's own data have in common: the folders of the splits, and which files count."""

from __future__ import annotations

from pathlib import Path

_TEST_FOLDERS = ("test", "val", "validation")


def split_folders(root: Path) -> tuple[Path | None, Path | None]:
    """ROOT/train and ROOT/test (or val/, validation/), where they are there."""
    train = root / "train"
    test = next((root / name for name in _TEST_FOLDERS if (root / name).is_dir()), None)
    return train if train.is_dir() else None, test


def visible_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, in alphabetical order."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_hidden(path))


def is_hidden(path: Path) -> bool:
    """Whether a file or folder is passed over."""
    return path.name.startswith(".")
