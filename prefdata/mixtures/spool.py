"""Rows of JSON arrays, packed and parquet files as lines beside their index: only lines can be read in any order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from prefdata.arrays import BrokenArray
from prefdata.atomic import atomic_writer
from prefdata.compressed import compression
from prefdata.containers import parquet_rows, probe, raw_rows
from prefdata.errors import PrefdataError
from prefdata.jsonl import encode_row


def needs_spool(annotation: Path) -> bool:
    """Whether the rows of a file are no lines of it."""
    return probe(annotation).container != "jsonl" or compression(annotation) is not None


def write_spool(annotation: Path, spooled: Path) -> None:
    """Write the rows of a file as lines. Raises PrefdataError where they cannot be."""
    with atomic_writer(spooled) as out:
        for row in _rows(annotation):
            out.write(row)


def _rows(annotation: Path) -> Iterator[bytes]:
    container = probe(annotation).container
    if container == "parquet":
        for number, row in parquet_rows(annotation):
            if _holds_bytes(row):
                raise PrefdataError(
                    f"{annotation}:{number}: holds image bytes; write rows with image files first (`prefdata convert`)."
                )
            yield encode_row(row)
        return
    try:
        for raw in raw_rows(annotation, container):
            if container == "jsonl":
                yield raw.data.rstrip(b"\r\n") + b"\n"
            else:
                # Tokens stay as they are, only the space between them goes.
                yield msgspec.json.format(raw.data, indent=-1) + b"\n"
    except BrokenArray as error:
        if not error.harmless:
            raise PrefdataError(f"{annotation}:{error.line}: {error.problem}.") from error
    except msgspec.DecodeError as error:
        raise PrefdataError(f"{annotation}: not valid JSON ({error}).") from error


def _holds_bytes(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_bytes(part) for part in value.values())
    if isinstance(value, list):
        return any(_holds_bytes(part) for part in value)
    return isinstance(value, bytes)
