"""Paths inside a mixture's file: how they are read, and how they are written."""

import os
from pathlib import Path


def find(path: Path, name: str) -> Path:
    """A path written in a mixture: beside the mixture's file, else in the working directory."""
    near = path.parent / name
    return near if near.exists() or not Path(name).exists() else Path(name)


def relative(target: Path, path: Path) -> str:
    """A path as written into a file: relative to the file where it lies beside it or was given as relative.

    What is relative to the working directory would be found from there only, and elsewhere be another file.
    """
    whole, folder = os.path.abspath(target), os.path.abspath(path.parent)
    if whole == folder or whole.startswith(folder.rstrip("/") + "/"):
        return os.path.relpath(whole, folder)
    if target.is_absolute():
        return str(target)
    # `..` leads out of the folder that a link names, so links are followed; only the last part may be one.
    return os.path.relpath(
        os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole)),
        os.path.realpath(folder),
    )
