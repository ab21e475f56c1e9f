"""What the repository itself promises: no places of one machine in it, short files, a licence."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_LINES = 500

# Written in pieces, or this file would find itself.
MACHINE_PATHS = re.compile(
    rb"(?<![\w.])/(?:" + b"|".join([b"work", b"root", b"farm", b"home/" + rb"\w+"]) + rb")/"
)


def tracked() -> list[Path]:
    """Every file that belongs to the repository, whether committed yet or only about to be."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_paths_of_one_machine() -> None:
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8192] and MACHINE_PATHS.search(content):
            found.append(str(path.relative_to(ROOT)))
    assert not found


def test_no_python_file_is_too_long() -> None:
    lengths = {
        str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in tracked() if p.suffix == ".py"
    }
    assert not {name: lines for name, lines in lengths.items() if lines > MAX_LINES}


def test_licence_is_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()
