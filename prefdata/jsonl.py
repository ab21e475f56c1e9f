"""JSON lines: streaming in, atomic out.

Every file prefdata writes whole goes through `atomic_writer`: a temporary file beside the target, flushed to the
disk, then renamed. A reader therefore sees the old file or the new one, never half of one.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from prefdata.errors import PrefdataError

# A large buffered line iteration is 30-40 % faster than reading chunks and splitting them.
_READ_BUFFER = 256 * 1024


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, raw line without its newline) for every non-blank line."""
    with open(path, "rb", buffering=_READ_BUFFER) as stream:
        for number, line in enumerate(stream, start=1):
            stripped = line.strip()
            if stripped:
                yield number, stripped


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Write `path` completely or not at all; parent folders are made. Devices and folders are refused, not replaced."""
    if path.exists() and not path.is_file():
        raise PrefdataError(f"{path}: is not a regular file and is not replaced; name a file to write.")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
