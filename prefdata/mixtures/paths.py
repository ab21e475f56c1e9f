"""Paths inside a mixture's file: how they are read, and how they are written."""

import os
from pathlib import Path


def find(path: Path, name: str) -> Path:
    """A path written in a mixture: beside the mixture's file, else in the working directory."""
    near = path.parent / name
    return near if near.exists() or not Path(name).exists() else Path(name)


def relative(target: Path, path: Path) -> str:
    """A path as written into a file: relative to the file where it lies beside it."""
    whole, folder = os.path.abspath(target), os.path.abspath(path.parent)
    if whole == folder or whole.startswith(folder.rstrip("/") + "/"):
        return os.path.relpath(whole, folder)
    return str(target)
