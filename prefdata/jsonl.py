"""JSON lines: streaming in, atomic out (`atomic.py`)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from prefdata.atomic import atomic_writer as atomic_writer

# A large buffered line iteration is 30-40 % faster than reading chunks and splitting them.
_READ_BUFFER = 256 * 1024


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, raw line without its newline) for every non-blank line."""
    with open(path, "rb", buffering=_READ_BUFFER) as stream:
        for number, line in enumerate(stream, start=1):
            stripped = line.strip()
            if stripped:
                yield number, stripped


def encode_row(row: Any) -> bytes:
    """One row as a JSON line with its newline; keys keep their order."""
    return msgspec.json.encode(row) + b"\n"


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write rows atomically as JSON lines; returns how many."""
    count = 0
    with atomic_writer(path) as stream:
        for row in rows:
            stream.write(encode_row(row))
            count += 1
    return count


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document atomically, indented for people."""
    with atomic_writer(path) as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_writer(path) as stream:
        stream.write(text.encode())
