"""Rows and records of a data file, for everything that works on data rather than checks it.

The first row that cannot be read stops the reading with its place: a command that trains or generates must not go on
with half of a file. Who wants all problems at once runs `prefdata validate`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from prefdata.arrays import BrokenArray
from prefdata.containers import Container, as_row, parquet_rows, probe, raw_rows
from prefdata.errors import PrefdataError
from prefdata.formats import BadRow, get
from prefdata.records import Record
from prefdata.rowbytes import too_deep
from prefdata.sniff import sniff


class Located(msgspec.Struct, frozen=True):
    """A row with its line and its record."""

    line: int
    row: dict[str, Any]
    record: Record


def read_rows(path: Path, format: str | None = None) -> Iterator[Located]:
    """Every row of a file in order. Raises PrefdataError "FILE:LINE: ..." at the first that cannot be read."""
    path = Path(path)
    if format is None:
        sniffed = sniff(path)
        name, container = sniffed.format, sniffed.container
    else:
        name, container = format, probe(path).container
    if container == "meta":
        raise PrefdataError(f"{path}: a mixture, not a data file; name one of its annotation files.")
    reader = get(name)
    for line, row in plain_rows(path, container):
        try:
            yield Located(line, row, reader.to_record(row))
        except BadRow as error:
            raise PrefdataError(
                f"{path}:{line}: {error}; run `prefdata validate` for all problems."
            ) from error


def plain_rows(path: Path, container: Container) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every row as a dictionary with its line. Raises PrefdataError."""
    if container == "parquet":
        yield from parquet_rows(path)
        return
    try:
        for raw in raw_rows(path, container):
            if raw.data.isspace():
                continue
            yield raw.line, _decode(path, raw.line, raw.data, raw.cut)
    except BrokenArray as error:
        if not error.harmless:
            raise PrefdataError(
                f"{path}:{error.line}: {error.problem}; the file is not a complete JSON array."
            ) from error


def _decode(path: Path, line: int, data: bytes, cut: bool) -> dict[str, Any]:
    if cut:
        raise PrefdataError(f"{path}:{line}: the line is too long to be a row; are its newlines lost?")
    try:
        row = as_row(msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise PrefdataError(
            f"{path}:{line}: not valid JSON ({error}); run `prefdata validate` for all problems."
        ) from error
    if too_deep(data):
        raise PrefdataError(f"{path}:{line}: nested too deeply to be a row.")
    if not isinstance(row, dict):
        raise PrefdataError(f"{path}:{line}: a {type(row).__name__}, a row must be an object.")
    return row
