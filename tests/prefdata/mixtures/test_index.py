"""Indexes: made anew where they or the copy of the rows are damaged, and by one process at a time."""

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from prefdata.mixtures.index import Index, open_index

ROWS = [{"question": f"Q{number}", "chosen": "a", "rejected": "b"} for number in range(50)]


def source(folder: Path) -> Path:
    path = folder / "p.json"
    path.write_text(json.dumps(ROWS, indent=1))
    return path


def rows_of(index: Index) -> list[dict[str, str]]:
    data = index.path.read_bytes()
    return [json.loads(data[s : s + n]) for s, n in zip(index.starts, index.lengths, strict=True)]


def changed(place: Path, change: Callable[[bytes], bytes]) -> None:
    place.write_bytes(change(place.read_bytes()))


@pytest.mark.parametrize(
    "change", [lambda data: None, lambda data: data[5:], lambda data: data.replace(b"Q", b"qq")]
)
def test_a_copy_that_is_gone_or_another_is_made_anew(
    tmp_path: Path, change: Callable[[bytes], bytes | None]
) -> None:
    path = source(tmp_path)
    spooled = open_index(path, tmp_path / "index").path
    left = change(spooled.read_bytes())
    spooled.unlink()
    if left is not None:
        spooled.write_bytes(left)
    assert rows_of(open_index(path, tmp_path / "index")) == ROWS


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[:-7],
    "header alone": lambda data: data[:4096],
    "zeros": lambda data: bytes(len(data)),
    "zeros behind the header": lambda data: data[:4096].ljust(len(data), b"\0"),
    "one start": lambda data: data[:4104] + struct.pack("Q", 1 << 60) + data[4112:],
    "random": lambda data: os.urandom(len(data)),
    "more rows": lambda data: data.replace(b'"rows":50', b'"rows":99'),
    "fewer rows": lambda data: data.replace(b'"rows":50', b'"rows":-1'),
    "negative and short": lambda data: data.replace(b'"rows":50', b'"rows":-1')[: 4096 - 15],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: str) -> None:
    path = source(tmp_path)
    open_index(path, tmp_path / "index")
    (place,) = (tmp_path / "index").glob("*.index")
    changed(place, DAMAGE[damage])
    assert rows_of(open_index(path, tmp_path / "index")) == ROWS


def test_a_pipe_in_the_place_of_an_index_is_replaced(tmp_path: Path) -> None:
    path = source(tmp_path)
    open_index(path, tmp_path / "index")
    (place,) = (tmp_path / "index").glob("*.index")
    place.unlink()
    os.mkfifo(place)
    assert rows_of(open_index(path, tmp_path / "index")) == ROWS


def test_processes_that_index_the_same_file_at_once_all_read_its_rows(tmp_path: Path) -> None:
    path = source(tmp_path)
    program = (
        "import sys; from pathlib import Path; from prefdata.mixtures.index import open_index;"
        "index = open_index(Path(sys.argv[1]), Path(sys.argv[2])); data = index.path.read_bytes();"
        "print(*(data[s : s + n].decode() for s, n in zip(index.starts, index.lengths)), sep=chr(10))"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, path, tmp_path / "index"], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in running:
        out, _ = process.communicate(timeout=60)
        assert [json.loads(line) for line in out.splitlines()] == ROWS
